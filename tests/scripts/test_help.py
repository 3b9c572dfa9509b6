"""--help of every script, with an interpreter that has Python's own modules alone."""

import pathlib
import subprocess
import sys
import unittest

import places


def alone(script: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a script where no package is installed."""
    return subprocess.run([sys.executable, "-E", "-s", "-S", "-B", script, *arguments], check=False, capture_output=True, text=True, timeout=60)


class Help(unittest.TestCase):
    def test_help_needs_no_package(self) -> None:
        scripts = [path for path in sorted((places.ROOT / "scripts").glob("*.py")) if "__main__" in path.read_text()]
        self.assertGreater(len(scripts), 10)
        for script in scripts:
            with self.subTest(script.name):
                result = alone(script, "--help")
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn(script.name, result.stdout)
                self.assertEqual(result.stderr, "")

    def test_work_says_which_package_is_missing(self) -> None:
        for name, package in [("visualize_profile.py", "matplotlib"), ("train_demo_model.py", "numpy"), ("make_goldens.py", "gguf")]:
            result = alone(places.ROOT / "scripts" / name, "x")
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"{name}: {package} is needed; pip install ", result.stderr)


if __name__ == "__main__":
    unittest.main()
