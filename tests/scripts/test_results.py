"""Files of results and their schemas."""

import unittest

import check_results
import places


class Schemas(unittest.TestCase):
    def test_every_file_of_results_is_as_its_schema_wants_it(self) -> None:
        files = sorted(check_results.DATA.glob("*.json"))
        self.assertTrue(files)
        for file in files:
            with self.subTest(file.name):
                self.assertEqual(check_results.problems(check_results.strict(file.read_text(encoding="utf-8"))), [])

    def test_what_is_right_passes(self) -> None:
        for document in (places.profile(), places.comparison(), {"kind": "other_thing", "date": "2026-11-21", "x": [1]}):
            self.assertEqual(check_results.problems(document), [])

    def test_what_is_wrong_is_told(self) -> None:
        def changed(path: str, value: object) -> dict:
            document = places.profile()
            *way, last = path.split(".")
            place = document
            for key in way:
                place = place[int(key) if isinstance(place, list) else key]
            place[int(last) if isinstance(place, list) else last] = value
            return document

        cases = [
            (changed("version", 2), "it.version is 2, not 1"),
            (changed("date", "yesterday"), 'it.date is "yesterday", which does not fit'),
            (changed("n_gen", -1), "it.n_gen is -1, less than 0"),
            (changed("n_gen", True), "it.n_gen is true, not integer"),
            (changed("program", "rm"), 'it.program is "rm", not one of'),
            (changed("runs", []), "it.runs has 0 items, fewer than 1"),
            (changed("runs.0.speeds.1.tokens_per_s", "8"), 'it.runs[0].speeds[1].tokens_per_s is "8", not number'),
            (changed("device.name", ""), "it.device.name is too short"),
            (changed("device.host", "name"), "it.device.host is not a field that there is"),
            (changed("series.rss_bytes", [1, 2]), "series.rss_bytes  has 2 values for 3 times"),
            (changed("series.temperature_c.cpu", ["hot"]), 'it.series.temperature_c.cpu[0] is "hot", not number or null'),
            ({"kind": "other_thing"}, "it lacks date"),
            ({"kind": "../profile", "date": "2026-11-21"}, 'it.kind is "../profile", which does not fit'),
            ({"date": "2026-11-21"}, "it lacks machine"),
            ([], "it has 0 items, fewer than 1"),
            (7, "it is 7, not object"),
        ]
        for document, told in cases:
            with self.subTest(told):
                self.assertIn(told, "; ".join(check_results.problems(document)))
        for text in ("NaN", "[1, Infinity]", "{"):
            with self.assertRaises(ValueError):
                check_results.strict(text)

    def test_an_unknown_word_in_a_schema_is_an_error(self) -> None:
        with self.assertRaises(ValueError):
            list(check_results.mismatches(1, {"maximum": 0}, {}, "it"))
