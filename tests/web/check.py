#!/usr/bin/env python3
"""Clicks through the page of `voxstream serve`, and looks at reports, in headless Chromium.

    pip install playwright          # only its client; the browser is the system's Chromium
    tests/web/check.py target/debug/voxstream RUNS [PICTURES]

RUNS is a folder with at least one run that has scores and predictions as Parquet. Screenshots are written
into PICTURES (default: a temporary folder), to be looked at. Exit code 0: everything held.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sys.exit("skipped: the Python package `playwright` is not installed (pip install playwright)")

CHROMIUM = next((p for p in map(shutil.which, ["chromium", "chromium-browser", "google-chrome"]) if p), None)
if CHROMIUM is None:
    sys.exit("skipped: Chromium is not installed (apt-get install chromium)")


def expect(holds, what):
    if not holds:
        sys.exit(f"failed: {what}")
    print(f"ok      {what}", flush=True)


def until(page, expression, seconds=30):
    """Waits until an expression of the page is true; the page itself may evaluate no text."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        if time.monotonic() > end:
            sys.exit(f"failed: waited in vain for {expression}")
        time.sleep(0.05)


def serve(program, runs, *options):
    server = subprocess.Popen([program, "serve", runs, "--address", "127.0.0.1:0", *options], stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().strip()


def clicks(browser, url, pictures):
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    outside, errors = [], []
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((url, "data:")) else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(url)
    page.wait_for_selector("#report main h1")
    count = page.locator("#runs button").count()
    expect(count >= 1, f"{count} runs are listed")
    expect(page.locator("#report .lane .node").count() > 3, "the graph of the run has nodes")
    page.screenshot(path=f"{pictures}/serve-run.png", full_page=True)
    if count > 1:
        before = page.locator("#report h1").inner_text()
        page.locator("#runs button").nth(1).click()
        until(page, f"document.querySelector('#report h1').innerText !== {before!r}")
        expect(True, "another run is shown after a click")
        page.locator("#runs button").nth(0).click()
    page.click("text=Slices")
    until(page, "document.getElementById('slice').naturalWidth > 100")
    first = page.locator("#slice").get_attribute("src")
    slider = page.locator("#index")
    slider.focus()
    page.keyboard.press("ArrowRight")
    until(page, f"document.getElementById('slice').getAttribute('src') !== {first!r}")
    until(page, "document.getElementById('slice').complete && document.getElementById('slice').naturalWidth > 100")
    expect(" of " in page.locator("#place").inner_text(), "the slider leafs through slices")
    page.select_option("#plane", "coronal")
    until(page, "document.getElementById('slice').src.includes('coronal') && document.getElementById('slice').complete")
    page.screenshot(path=f"{pictures}/serve-slices.png")
    page.click("text=SQL")
    page.fill("#statement", "select run, rank, mean_dice from leaderboard")
    page.click("#ask button[type=submit]")
    page.wait_for_selector("#answer td")
    expect("rows" in page.locator("#took").inner_text(), "a statement is answered")
    page.screenshot(path=f"{pictures}/serve-sql.png")
    page.fill("#statement", "select * from score")
    page.click("#ask button[type=submit]")
    until(page, "document.getElementById('problem').innerText.length > 0")
    expect("did you mean `scores`" in page.locator("#problem").inner_text(), "a mistake names the nearest table")
    page.fill("#statement", "select count(*) from generate_series(1, 300000) a, generate_series(1, 300000) b where a.value * b.value % 7 = 1")
    page.click("#ask button[type=submit]")
    until(page, "document.getElementById('problem').innerText.includes('longer than its limit')", 60)
    expect(True, "a long statement is stopped")
    # The answer to a wrong statement is an error of the console too.
    errors = [e for e in errors if "400 (Bad Request)" not in e]
    expect(not outside, f"nothing is loaded from elsewhere {outside or ''}")
    expect(not errors, f"no error in the console {errors or ''}")
    dark = browser.new_page(viewport={"width": 1360, "height": 900}, color_scheme="dark")
    dark.goto(url)
    dark.wait_for_selector("#report main h1")
    dark.screenshot(path=f"{pictures}/serve-dark.png")
    narrow = browser.new_page(viewport={"width": 420, "height": 900})
    narrow.goto(url)
    narrow.wait_for_selector("#report main h1")
    wide = narrow.evaluate("document.documentElement.scrollWidth")
    expect(wide <= 420, f"a narrow window needs no sideways scrolling ({wide} pixels)")
    narrow.screenshot(path=f"{pictures}/serve-narrow.png")


def guarded(browser, program, runs):
    server, url = serve(program, runs, "--token", "word")
    try:
        page = browser.new_page()
        status = page.goto(url.split("?")[0]).status
        expect(status == 403, "without the token nothing is shown")
        page.goto(url)
        page.wait_for_selector("#report main h1")
        expect(True, "with the token the page and its questions are answered")
    finally:
        server.terminate()


def reports(browser, program, runs, pictures):
    folders = [os.path.dirname(os.path.join(d, f)) for d, _, files in os.walk(runs) for f in files if f == "scores.parquet"]
    one = f"{pictures}/report.html"
    subprocess.run([program, "report", folders[0], "--out", one], check=True, stdout=subprocess.DEVNULL)
    size = os.path.getsize(one)
    expect(size < 10_000_000, f"the report has {size / 1e6:.1f} MB")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    outside = []
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.goto(f"file://{one}")
    broken = page.evaluate("[...document.images].filter(i => !i.complete || i.naturalWidth === 0).length")
    shown = page.evaluate("document.images.length")
    expect(broken == 0 and shown > 0, f"{shown} pictures are shown")
    expect(not outside, "the report loads nothing")
    page.screenshot(path=f"{pictures}/report.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=f"{pictures}/report-dark.png", full_page=True)
    page.emulate_media(color_scheme="light", media="print")
    page.pdf(path=f"{pictures}/report.pdf", format="A4", print_background=True)
    if len(folders) > 1:
        several = f"{pictures}/several.html"
        subprocess.run([program, "report", *folders, "--out", several], check=True, stdout=subprocess.DEVNULL)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"file://{several}")
        expect(page.locator("text=95 % interval").count() > 0, "several runs are compared with intervals")
        page.screenshot(path=f"{pictures}/several.png", full_page=True)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program, runs = sys.argv[1], sys.argv[2]
    pictures = sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp()
    os.makedirs(pictures, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        server, url = serve(program, runs)
        try:
            clicks(browser, url, pictures)
        finally:
            server.terminate()
        guarded(browser, program, runs)
        reports(browser, program, runs, pictures)
        browser.close()
    print(f"pictures: {pictures}")


if __name__ == "__main__":
    main()
