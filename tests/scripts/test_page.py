"""The page of results: what it holds, and how it behaves in a browser."""

import pathlib
import re
import tempfile
import unittest

import browser
import places
import results_page

EVIL = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">\u2028&amp;"


def evil_documents() -> list[tuple[str, object]]:
    """Files with markup wherever text can stand."""
    phone = places.profile(name=EVIL, model=EVIL, arguments=[EVIL])
    phone["device"]["name"] = EVIL
    phone["series"]["temperature_c"] = {EVIL: [30, 40, 50]}
    other = {"kind": "kv", "date": "2026-11-21", "note": EVIL, "results": [{EVIL: EVIL, "x": 1}, {"x": 2.5}]}
    plain = places.profile(date="2026-11-20T10:00:00Z", backend="opencl")
    return [("a.json", phone), ("b.json", plain), ("c.json", places.comparison()), (EVIL, other)]


class Contents(unittest.TestCase):
    def test_rows_and_peers_are_taken_from_all_kinds(self) -> None:
        data = results_page.gather([("p", places.profile()), ("c", places.comparison())])
        rows = [(r["program"], r["device"], r["format"], r["test"], r["kind"], r["speed"], r["low"], r["high"]) for r in data["runs"]]
        self.assertIn(("llm_rs2", "Phone", "q4_0", "tg8", "decode", 8, 8, 8), rows)
        self.assertIn(("llm_rs2", "Server", "q4_0", "tg32", "decode", 10.5, 9, 12), rows)
        self.assertEqual(len(rows), 2 + 4)
        # Of the peer the faster flags; what nobody else was measured at is no comparison.
        bars = [[(bar["program"], bar["speed"]) for bar in group["bars"]] for group in data["peers"]]
        self.assertEqual(bars, [[("llm_rs2", 10.5), ("peer -b", 8)]])

    def test_text_cannot_end_the_script_and_nothing_is_loaded(self) -> None:
        page = results_page.page(results_page.gather(evil_documents()))
        self.assertEqual(page.count("</script>"), 2)
        self.assertNotIn("onerror=\"", page)
        self.assertIsNone(re.search(r"(src|href)=|url\(|https?://(?!www\.w3\.org/2000/svg)|import\(|fetch\(", page.split("<body>")[0]))
        self.assertIsNone(re.search(r"innerHTML|insertAdjacentHTML|document\.write", page))


@unittest.skipUnless(browser.path(), "there is no Chromium here")
class InABrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.file = pathlib.Path(cls.folder.name) / "page.html"
        cls.file.write_text(results_page.page(results_page.gather(evil_documents())), encoding="utf-8")
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.browser.close()
        cls.folder.cleanup()

    def column(self, index: int) -> list[str]:
        return self.browser.evaluate(f"[...document.querySelectorAll('#runs tbody tr')].map(r => r.cells[{index}].textContent)")

    def choose(self, key: str, value: str) -> None:
        script = "(() => { const s = document.querySelector('select[data-key=KEY]'); s.value = VALUE; s.dispatchEvent(new Event('change')); })()"
        self.browser.evaluate(script.replace("KEY", key).replace("VALUE", repr(value)))

    def test_text_is_shown_as_text(self) -> None:
        self.browser.open(self.file)
        self.assertEqual(self.browser.evaluate("document.title"), "llm_rs2: results")
        self.assertIn(EVIL, self.browser.evaluate("document.getElementById('pair').textContent"))
        self.assertIn(EVIL, self.browser.evaluate("document.getElementById('others').textContent"))
        self.assertEqual(self.browser.evaluate("document.images.length"), 0)
        self.assertEqual(self.browser.console, [])

    def test_headers_sort_both_ways(self) -> None:
        self.browser.open(self.file)
        speeds = [float(text) for text in self.column(3)]
        self.assertEqual(speeds, sorted(speeds, reverse=True))
        self.assertEqual(len(speeds), 8)
        self.browser.evaluate("document.querySelector('[data-sort=speed]').click()")
        self.assertEqual([float(text) for text in self.column(3)], sorted(speeds))
        self.browser.evaluate("document.querySelector('[data-sort=program]').click()")
        self.assertEqual(self.column(0)[:2], ["peer -b", "peer -a"])
        self.assertEqual(self.browser.evaluate("document.querySelector('[aria-sort]').textContent"), "Program")

    def test_filters_hold_everywhere_and_are_in_the_address(self) -> None:
        self.browser.open(self.file)
        self.choose("format", "q8_0")
        self.assertEqual(self.column(2), ["pp512"])
        self.assertIn("no comparison", self.browser.evaluate("document.getElementById('bars').textContent"))
        self.choose("format", "")
        self.choose("backend", "opencl")
        self.assertEqual(self.column(5), ["opencl", "opencl"])
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#pair .group').length"), 1)
        address = self.browser.evaluate("location.hash")
        self.browser.open(self.file, address)
        self.assertEqual(self.column(5), ["opencl", "opencl"])
        self.choose("device", "Server")
        self.assertEqual(self.column(0), ["no run is like that"])

    def test_two_profiles_stand_beside_each_other_and_can_be_read(self) -> None:
        self.browser.look(1200, 900)
        self.browser.open(self.file, "#b=b.json")
        tops = self.browser.evaluate("[...document.querySelectorAll('#pair .group')].map(g => g.getBoundingClientRect().top)")
        self.assertEqual((len(tops), len(set(tops))), (2, 1))
        paths = self.browser.evaluate("[...document.querySelectorAll('#pair path')].map(p => p.getAttribute('d'))")
        # Decode, prefill, temperature, memory of each; a value that was not read ends a line.
        self.assertEqual(len(paths), 8)
        self.assertTrue(all(re.fullmatch(r"(M[-\d.]+ [-\d.]+(L[-\d.]+ [-\d.]+)*)+", path) for path in paths), paths)
        self.browser.evaluate(
            "(() => { const s = document.querySelector('#pair svg'), b = s.getBoundingClientRect();"
            " s.dispatchEvent(new PointerEvent('pointermove', { clientX: b.left + b.width * 0.9, clientY: b.top + 5 })); })()"
        )
        self.assertEqual(self.browser.evaluate("document.querySelector('#pair .legend b').textContent"), "8.00")

    def test_a_phone_and_the_dark_need_no_scrolling_sideways(self) -> None:
        backs = []
        for dark in (False, True):
            self.browser.look(360, 740, dark, phone=True)
            self.browser.open(self.file, "#b=b.json")
            self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), 360)
            right = self.browser.evaluate("document.querySelector('#runs th:nth-child(4)').getBoundingClientRect().right")
            self.assertLessEqual(right, 360)
            backs.append(self.browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        self.assertNotEqual(*backs)
