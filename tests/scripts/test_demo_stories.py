"""The check of the demo model's stories, and the grammar that it checks."""

import contextlib
import io
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import check_demo_stories
import places
from demo_corpus import words
from demo_corpus.writer import Writer

RED_BALL = """\
Once upon a time, there was a shy girl named Mia. She lived in a small house near the woods.
One day, Mia could not find her red ball. "Where is my ball?" she asked. Then her friend Ben came by. "What is wrong?" he asked.
"I have lost my red ball," said Mia. They looked under a big bush, and there was the red ball! Mia hugged Ben. Mother smiled, and she was proud of them.
"""
OLD_FOX = """\
The old fox lived all alone in a small stable. He loved to sing.
One day, he was playing at his friend Rosie's home. Rosie had a beautiful vase. The old fox was not careful, and he knocked it off the table. The vase was broken!
The old fox went to Rosie. "I am sorry," the old fox said. Rosie smiled, and she forgave him. To make it right, the old fox saved up coins to buy a new vase.
"""


def faults(story: str) -> list[str]:
    return sorted({rule for rule, _ in check_demo_stories.Check(story.strip()).faults})


class Check(unittest.TestCase):
    def test_what_agrees_passes(self) -> None:
        self.assertEqual(faults(RED_BALL), [])
        self.assertEqual(faults(OLD_FOX.replace("and she forgave him", "and she smiled again")), [])

    def test_one_wrong_word_is_found(self) -> None:
        cases = [
            (RED_BALL, "a shy girl named Mia", "a shy boy named Mia", ["gender"]),
            (RED_BALL, "She lived", "He lived", ["pronoun"]),
            (RED_BALL, "find her red ball", "find his red ball", ["pronoun"]),
            (RED_BALL, 'he asked.\n"I', 'she asked.\n"I', ["pronoun"]),
            (RED_BALL, "Mother smiled, and she", "Mother smiled, and he", ["pronoun"]),
            (RED_BALL, "friend Ben came", "sister Ben came", ["gender"]),
            (RED_BALL, "Mia hugged Ben", "Mia hugged Tom", ["cast"]),
            (RED_BALL, "Mia hugged Ben", "Milan hugged Ben", ["cast"]),
            (RED_BALL, "her friend Ben came", "her friend Mia came", ["cast", "pronoun"]),
            (RED_BALL, "her friend Ben came", "Ben came", ["cast"]),
            (RED_BALL, "Mother smiled, and she was proud of them.", "Mother smiled. Father smiled too.", ["cast"]),
            (RED_BALL, "there was the red ball", "there was the blue ball", ["object"]),
            (RED_BALL, "Where is my ball", "Where is my kite", ["object"]),
            (OLD_FOX, "He loved to sing", "She loved to sing", ["pronoun"]),
            (OLD_FOX, "The old fox was not careful", "The little fox was not careful", ["cast", "pronoun"]),
            (OLD_FOX, "right, the old fox", "right, the old bear", ["cast"]),
            (OLD_FOX, "buy a new vase", "buy a new drum", ["object"]),
            (OLD_FOX, "vase was broken", "snow globe was broken", ["object"]),
        ]
        for story, before, after, rules in cases:
            with self.subTest(after):
                self.assertEqual(story.count(before), 1)
                found = faults(story.replace("and she forgave him", "and she smiled again").replace(before, after))
                self.assertTrue(found)
                self.assertLessEqual(set(found), set(rules))

    def test_a_pronoun_stands_for_the_one_mentioned_last(self) -> None:
        self.assertEqual(faults(OLD_FOX), ["pronoun"])

    def test_without_the_tables_the_story_itself_tells_the_gender(self) -> None:
        she = RED_BALL.replace("shy girl named Mia", "shy girl named Ted").replace("Mia", "Ted")
        self.assertEqual(faults(she), ["gender", "pronoun"])
        self.assertEqual(check_demo_stories.Check(she.strip(), infer=True).faults, [])

    def test_the_program_counts(self) -> None:
        script = places.SCRIPTS / "check_demo_stories.py"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "stories.txt"
            file.write_text(f"{RED_BALL}\n{RED_BALL.replace('She', 'He')}\n", encoding="utf-8")
            done = subprocess.run([sys.executable, script, file, "--show", "--at-least", "95"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("story 2: pronoun: ", done.stdout)
        self.assertIn("1 of 2 stories agree (50.00%)", done.stdout)

    def test_the_help_needs_nothing_else(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as said, self.assertRaises(SystemExit) as end, unittest.mock.patch("sys.argv", ["check", "--help"]):
            check_demo_stories.main()
        self.assertEqual(end.exception.code, 0)
        self.assertIn("--generate PROGRAM", said.getvalue())


class Grammar(unittest.TestCase):
    def test_no_name_is_in_two_lists(self) -> None:
        names = words.GIRLS + words.BOYS + words.PETS_F + words.PETS_M
        self.assertEqual(len(names), len(set(names)))
        kinds = [kind for group in words.KINDS.values() for both in group.values() for kind in both]
        self.assertEqual(len(kinds), len(set(kinds)))

    def test_its_stories_agree(self) -> None:
        writer = Writer("test")
        for _ in range(300):
            story = writer.story()
            self.assertEqual(check_demo_stories.Check(story).faults, [], story)


if __name__ == "__main__":
    unittest.main()
