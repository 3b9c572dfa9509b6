"""The web page in a browser, against a server.

usage: page.py URL URL_WITH_A_KEY KEY   (with tests/scripts in PYTHONPATH)
"""

import json
import pathlib
import sys
import tempfile
import time
import unittest
import urllib.request

import browser

URL, CLOSED_URL, KEY = sys.argv[1:]
SEND = "document.querySelector('#send:not([hidden])') && !document.querySelector('.growing')"
EVIL = """<img src=x onerror="document.title='broken'"> <script>document.title='broken'</script>

[a](javascript:alert(1)) ![pixel](https://example.com/pixel.png) [b](data:text/html,x) [web](https://example.com/a_(b))

<iframe src="https://example.com"></iframe>"""
MARKDOWN = """# Title

Some **bold *nested*** and `code <b>`, a_b_c, 2 * 3 * 4, https://example.com/x_y_z.

- one
  - inner **two**
- [x] three

3. third
4. fourth

| a | b |
|:--|--:|
| 1 | `2` |

```rust
fn main() { let s = "**no**"; }

// - no list
```

> quote
> more

---
Last *open"""
# In place of a server's answers: window.fake has the parts of a text, which may have no end, or a refusal.
FAKE = """
const real = window.fetch;
window.asked = [];
window.fetch = async (where, options) => {
  if (!window.fake || !String(where).endsWith('completions')) return real(where, options);
  window.asked.push(JSON.parse(options.body));
  const { parts, status, body, headers, cut, endless } = window.fake;
  if (status) return new Response(JSON.stringify(body), { status, headers });
  const event = (value) => new TextEncoder().encode(`data: ${JSON.stringify(value)}\\n\\n`);
  const stream = new ReadableStream({ async start(to) {
    for (const delta of parts) {
      to.enqueue(event({ choices: [{ delta }] }));
      await new Promise((done) => setTimeout(done, 5));
    }
    if (cut) return to.close();
    if (endless) return options.signal.addEventListener('abort', () => to.error(options.signal.reason));
    to.enqueue(event({ choices: [{ delta: {}, finish_reason: 'stop' }] }));
    to.enqueue(new TextEncoder().encode('data: [DONE]\\n\\n'));
    to.close();
  } });
  return new Response(stream);
};
"""


def answered(prompt: str, **more: object) -> str:
    """What the server says to a prompt, without the page."""
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 12, "temperature": 0, **more}
    request = urllib.request.Request(f"{URL}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        text = json.load(reply)["choices"][0]["message"]["content"]
    # A break is no text.
    return text.strip().replace("\n", "")


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.page = browser.Browser()
        cls.page.call("Page.addScriptToEvaluateOnNewDocument", source=FAKE)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.page.close()

    def setUp(self) -> None:
        self.page.console.clear()
        self.page.requests.clear()
        self.page.look(1200, 800)
        self.open(URL)

    def tearDown(self) -> None:
        hosts = (URL, CLOSED_URL, "about:", "blob:http://127.0.0.1")
        self.assertEqual([address for address in self.page.requests if not address.startswith(hosts)], [])

    def open(self, url: str) -> None:
        self.page.visit("about:blank")
        self.page.visit(f"{url}/")
        self.page.until("!document.querySelector('#model').hidden && document.activeElement.id == 'input'")

    def value(self, script: str) -> object:
        return self.page.evaluate(script)

    def click(self, selector: str) -> None:
        self.page.until(f"!!document.querySelector({json.dumps(selector)})")
        self.value(f"document.querySelector({json.dumps(selector)}).click()")

    def texts(self, selector: str) -> list[str]:
        return self.value(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")

    def set(self, **params: object) -> None:
        """Fills in settings as a user does."""
        self.click("#settings-open")
        for name, value in params.items():
            self.value(f"(() => {{ const i = document.querySelector('#settings [name={name}]'); i.value = '{value}'; i.dispatchEvent(new Event('input')); }})()")
        self.page.press("Escape")
        self.page.until("!document.querySelector('dialog[open]')")

    def send(self, text: str, is_whole: bool = True) -> None:
        self.value("document.getElementById('input').focus()")
        self.page.type(text)
        self.page.press("Enter")
        if is_whole:
            self.page.until(SEND, 300)

    def pretend(self, **fake: object) -> None:
        self.value(f"window.fake = {json.dumps(fake)}")

    def test_a_conversation(self) -> None:
        self.set(max_tokens=12, temperature=0, seed=1)
        self.send("Once upon a time")
        first = answered("Once upon a time")
        self.assertEqual(self.texts(".assistant .body"), [first])
        self.assertRegex(self.texts(".stats")[0], r"^[\d.]+ tokens/s · first token [\d.]+ s · 12 tokens · prompt 5")
        self.assertEqual(self.value("document.title"), "Once upon a time – llm_rs2")
        # Another answer is beside the first, and one can go back.
        self.set(temperature=1.5, seed=3)
        self.click(".assistant [aria-label='Another answer']")
        self.page.until(SEND, 300)
        second = answered("Once upon a time", temperature=1.5, seed=3)
        self.assertNotEqual(first, second)
        self.assertEqual(self.texts(".assistant .body"), [second])
        self.assertEqual(self.texts(".assistant .turns"), ["2 / 2"])
        self.click("[aria-label='Earlier answer']")
        self.assertEqual(self.texts(".assistant .body"), [first])
        # Edited with the arrow: a branch, whose neighbour stays.
        self.value("document.getElementById('input').focus()")
        self.page.press("ArrowUp")
        self.assertEqual(self.value("document.activeElement.value"), "Once upon a time")
        self.value("document.activeElement.select()")
        self.page.type("One day")
        self.page.press("Enter")
        self.page.until(SEND, 300)
        self.assertEqual(self.texts(".user .body"), ["One day"])
        self.assertEqual(self.texts(".assistant .body"), [answered("One day", temperature=1.5, seed=3)])
        self.click(".user [aria-label='Earlier version']")
        self.assertEqual(self.texts(".user .body"), ["Once upon a time"])
        self.assertEqual(self.texts(".assistant .turns"), ["2 / 2"], "the branch that was last")
        # It is there after the page is loaded again.
        shown = self.texts("article .body")
        self.page.call("Page.reload")
        self.page.until("document.querySelectorAll('article').length == 2")
        self.assertEqual(self.texts("article .body"), shown)
        # In the list: renamed, deleted, and back.
        self.click("#list [aria-label^=Rename]")
        self.page.type("A tale")
        self.page.press("Enter")
        self.page.until("document.querySelector('#list button.open')?.textContent == 'A tale'")
        self.click("#list [aria-label^=Delete]")
        self.page.until("document.querySelectorAll('#list li').length == 0")
        self.assertEqual(self.texts("article"), [])
        self.click("#toast button")
        self.page.until("document.querySelectorAll('article').length == 2")
        self.assertEqual(self.texts("article .body"), shown)
        self.assertEqual(self.page.console, [])

    def test_escape_stops_and_ctrl_k_begins(self) -> None:
        self.pretend(parts=[{"content": "Once upon"}, {"content": " a time"}], endless=True)
        self.send("Go on", is_whole=False)
        self.page.until("document.querySelector('.assistant .body')?.textContent.length > 10", 300)
        self.assertTrue(self.value("document.getElementById('send').hidden"))
        self.page.press("Escape")
        self.page.until(SEND)
        self.assertEqual(self.texts(".assistant .note"), ["Stopped."])
        self.page.press("k", ctrl=True)
        self.page.until("document.querySelectorAll('article').length == 0")
        self.assertEqual(self.value("document.activeElement.id"), "input")
        self.page.type("a")
        self.page.press("Enter", shift=True)
        self.assertEqual(self.texts("article"), [], "Shift+Enter sends nothing")
        self.assertEqual(self.page.console, [])

    def test_conversations_go_out_and_come_back(self) -> None:
        self.pretend(parts=[{"reasoning_content": "hm"}, {"content": "**yes**"}])
        self.send("Export me")
        with tempfile.TemporaryDirectory() as folder:
            self.page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=folder)
            self.click("#list [aria-label='Export Export me']")
            file = pathlib.Path(folder) / "Export me.json"
            end = time.monotonic() + 30
            while not file.exists() and time.monotonic() < end:
                time.sleep(0.05)
            exported = json.loads(file.read_text())
            self.click("#list [aria-label='Delete Export me']")
            self.page.until("document.querySelectorAll('article').length == 0")
            ring = json.loads(file.read_text())
            for node in ring["conversations"][0]["nodes"].values():
                node["parent"] = node["id"]
            for name, content, said in [
                ("bad.json", "[1", "cannot be imported"),
                ("ring.json", json.dumps(ring), "circle"),
                ("good.json", json.dumps(exported), "1 conversations are imported"),
            ]:
                path = pathlib.Path(folder) / name
                path.write_text(content)
                root = self.page.call("DOM.getDocument")["root"]["nodeId"]
                node = self.page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
                self.page.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
                self.page.until(f"document.getElementById('toast').textContent.includes({json.dumps(said)})")
        self.page.until("[...document.querySelectorAll('#list .open')].some(e => e.textContent == 'Export me')")
        self.value("[...document.querySelectorAll('#list .open')].find(e => e.textContent == 'Export me').click()")
        self.page.until("document.querySelectorAll('article').length == 2")
        self.assertEqual(self.texts(".assistant strong"), ["yes"])
        self.assertEqual(self.texts(".assistant .thoughts"), ["hm"])

    def test_what_a_model_writes_is_text(self) -> None:
        self.pretend(parts=[{"content": part} for part in EVIL.split("(?<= )")] + [{"reasoning_content": EVIL}])
        self.send(EVIL)
        shown = self.texts(".assistant .body")[0]
        for part in ["<img src=x", "<script>document.title", "[a](javascript:alert(1))", "[b](data:text/html,x)", "<iframe"]:
            self.assertIn(part, shown)
        self.assertIn("onerror", self.texts(".user .body")[0])
        self.assertEqual(self.value("document.querySelectorAll('article :is(img, script, iframe)').length"), 0)
        links = self.value("[...document.querySelectorAll('article .body a')].map(a => [a.href, a.rel, a.target])")
        self.assertEqual([link[0] for link in links], ["https://example.com/pixel.png", "https://example.com/a_(b)", "https://example.com/"])
        self.assertTrue(all(link[1].split()[0] == "noopener" and link[2] == "_blank" for link in links), links)
        self.assertNotEqual(self.value("document.title"), "broken")
        # Long and deep texts take no time.
        for text in ["*a " * 30000, "[" * 30000, "> " * 5000 + "x", "`" * 20001, "- " * 5000, "|" * 20000 + "\n" + "|-" * 9999]:
            self.pretend(parts=[{"content": text}])
            start = self.value("performance.now()")
            self.click("[aria-label='Another answer']")
            self.page.until(SEND)
            self.assertLess(self.value("performance.now()") - start, 10_000, text[:5])
        self.assertEqual(self.page.console, [])

    def test_markdown_is_the_same_however_it_comes(self) -> None:
        self.pretend(parts=[{"content": MARKDOWN}])
        self.send("whole")
        body = "document.querySelector('.assistant .body')"
        whole = self.value(f"{body}.innerHTML")
        tags = self.value(f"[...{body}.children].map(e => e.tagName + (e.className && '.' + e.className)).join(' ')")
        self.assertEqual(tags, "H3 P UL OL DIV.table DIV.code BLOCKQUOTE HR P")
        inner = self.texts(".assistant .body :is(strong, em, p > code, a, ul ul li, td.right)")
        self.assertEqual(inner, ["bold nested", "nested", "code <b>", "https://example.com/x_y_z", "inner two", "two", "2"])
        self.assertEqual(self.texts(".assistant pre"), ['fn main() { let s = "**no**"; }\n\n// - no list'])
        self.assertEqual(self.value(f"{body}.querySelector('ol').start"), 3)
        for size in (1, 3, 10):
            self.pretend(parts=[{"content": MARKDOWN[at : at + size]} for at in range(0, len(MARKDOWN), size)])
            self.click("[aria-label='Another answer']")
            self.page.until(SEND)
            self.assertEqual(self.value(f"{body}.innerHTML"), whole, size)

    def test_reasoning_is_folded(self) -> None:
        self.pretend(parts=[{"reasoning_content": "Let me "}, {"reasoning_content": "see."}, {"content": "Yes."}])
        self.send("Well?")
        self.assertEqual(self.texts(".thoughts"), ["Let me see."])
        self.assertFalse(self.value("document.querySelector('.reasoning').open"))
        self.assertEqual(self.texts(".assistant .body"), ["Yes."])
        # A system message goes first, reasoning in its own field.
        self.click("#settings-open")
        self.value("document.getElementById('system').focus()")
        self.page.type("Be brief.")
        self.page.press("Escape")
        self.send("And?")
        messages = self.value("window.asked.at(-1).messages")
        self.assertEqual([message["role"] for message in messages], ["system", "user", "assistant", "user"])
        self.assertEqual((messages[0]["content"], messages[2]["reasoning_content"]), ("Be brief.", "Let me see."))

    def test_refusals_are_sentences_and_can_be_tried_again(self) -> None:
        refusal = {"error": {"message": "8 texts are in progress; try again later", "type": "rate_limit_exceeded"}}
        self.pretend(status=429, body=refusal, headers={"retry-after": "7"})
        self.send("Hello")
        self.assertIn("8 texts are in progress; try again later. It should go in 7 s.", self.texts(".note.bad")[0])
        self.pretend(parts=[{"content": "half an ans"}], cut=True)
        self.click(".note.bad button")
        self.page.until(SEND)
        self.assertIn("The connection was lost before the answer ended.", self.texts(".note.bad")[0])
        self.assertEqual(self.texts(".assistant .body"), ["half an ans"])
        self.pretend(parts=[{"content": "All of it."}])
        self.click(".note.bad button")
        self.page.until(SEND)
        self.assertEqual((self.texts(".note.bad"), self.texts(".assistant .body")), ([], ["All of it."]))

    def test_a_key_is_asked_for(self) -> None:
        self.page.visit("about:blank")
        self.page.visit(f"{CLOSED_URL}/")
        for key in ["wrong", KEY]:
            self.page.until("document.querySelector('#key').open")
            self.assertIn("key is missing or wrong", self.texts("#key-why")[0])
            self.value("document.getElementById('key-value').value = ''; document.getElementById('key-value').focus()")
            self.page.type(key)
            self.page.press("Enter")
            self.page.until("!document.querySelector('#key').open || document.querySelector('#key-value').value == 'wrong'")
        self.page.until("!document.querySelector('#model').hidden")
        self.set(max_tokens=3, temperature=0)
        self.send("Once upon a time")
        self.assertEqual(self.texts(".assistant .body"), [answered("Once upon a time", max_tokens=3)])

    def test_light_dark_and_a_phone(self) -> None:
        self.pretend(parts=[{"content": MARKDOWN + "\n\n" + "x" * 400 + "\n\n```\n" + "y" * 400 + "\n```"}])
        self.send("w" * 200)
        contrast = """(() => {
          const light = (colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
          const back = light(getComputedStyle(document.body).backgroundColor);
          return ['#title', '.stats, .acts', '#model', '.keys', '.body a', '.note, article'].map(s => light(getComputedStyle(document.querySelector(s)).color))
            .map(own => (Math.max(own, back) + 0.05) / (Math.min(own, back) + 0.05));
        })()"""
        backs = []
        for dark in (False, True):
            self.page.look(1200, 800, dark)
            self.assertGreaterEqual(min(self.value(contrast)), 4.5)
            self.page.look(360, 740, dark, phone=True)
            self.assertLessEqual(self.value("Math.max(document.documentElement.scrollWidth, document.getElementById('scroll').scrollWidth)"), 360)
            backs.append(self.value("getComputedStyle(document.body).backgroundColor"))
            self.click("#side-open")
            self.page.until("document.getElementById('side').getBoundingClientRect().left == 0")
            self.click("#shade")
            self.page.until("getComputedStyle(document.getElementById('side')).visibility == 'hidden'")
        self.assertNotEqual(*backs)
        # The switch is stronger than the system, and is kept.
        self.page.look(1200, 800, dark=True)
        self.click("#theme")
        self.assertEqual(self.value("getComputedStyle(document.body).backgroundColor"), backs[0])
        self.open(URL)
        self.assertEqual(self.value("getComputedStyle(document.body).backgroundColor"), backs[0])
        self.click("#theme")
        self.page.look(1200, 800)
        self.assertEqual(self.value("getComputedStyle(document.body).backgroundColor"), backs[1])
        self.click("#theme")
        self.assertEqual(self.value("document.documentElement.dataset.theme"), "auto")

    def test_everything_has_a_name(self) -> None:
        self.pretend(parts=[{"content": "```\nx\n```"}])
        self.send("Hello")
        for place in (None, "#settings-open"):
            if place:
                self.click(place)
            tree = self.page.call("Accessibility.getFullAXTree")["nodes"]
            roles = ("button", "textbox", "searchbox", "combobox", "spinbutton", "checkbox", "link", "dialog", "navigation", "log")
            found = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
            self.assertGreater(len(found), 8)
            self.assertEqual([node for node in found if not node.get("name", {}).get("value")], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
