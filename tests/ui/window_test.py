#!/usr/bin/env python3
"""The real window under Xvfb, with real keys and clicks: a first run, every screen in both themes and at two scales, and
kill -9 in the middle of an answer. Pictures go to --pictures, with a contact sheet; words on them are read back by OCR.

Exit codes: 0 all is well, 1 not, 77 skipped (and says why)."""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import pictures  # noqa: E402

GRID = (48, 30)  # fields a picture is compared by
TOLERANCE = 6.0  # mean difference of brightness
SCREENS = [("chat", "ctrl+1"), ("engine", "ctrl+2"), ("models", "ctrl+3"), ("benchmark", "ctrl+4"), ("settings", "ctrl+comma"), ("logs", "ctrl+5")]


class Failure(Exception):
    pass


class Desktop:
    """One Xvfb and the programs that run in it."""

    def __init__(self, program, home, width, height):
        self.program, self.home = program, home
        self.shown = (1440, 900)
        self.screen = tempfile.mkdtemp(prefix="xvfb-")
        read, write = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-fbdir", self.screen, "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"],
            pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise Failure("Xvfb did not start")
        self.environment = dict(os.environ, DISPLAY=f":{number}", HOME=str(home), LIBGL_ALWAYS_SOFTWARE="1")
        for name in ("WAYLAND_DISPLAY", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
            self.environment.pop(name, None)
        self.process = None

    def start(self, *flags):
        self.process = subprocess.Popen([self.program, "desktop", "--threads", "1", *flags], env=self.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure("the program ended: " + self.process.stderr.read().decode(errors="replace"))
            found = self.tool("search", "--onlyvisible", "--class", "millrace", check=False).split()
            if found:
                self.tool("windowmove", found[-1], "0", "0")
                self.tool("windowfocus", found[-1])
                return
            time.sleep(0.1)
        raise Failure("no window came")

    def tool(self, *arguments, check=True):
        done = subprocess.run(["xdotool", *arguments], env=self.environment, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise Failure(f"xdotool {arguments}: {done.stderr}")
        return done.stdout

    def key(self, *chords):
        for chord in chords:
            self.tool("key", chord)
            time.sleep(0.05)

    def type(self, text):
        self.tool("type", "--delay", "12", text)

    def click(self, x, y):
        self.tool("mousemove", str(x), str(y), "click", "1")

    def size(self, width, height):
        window = self.tool("search", "--onlyvisible", "--class", "millrace").split()[-1]
        self.tool("windowsize", window, str(width), str(height))
        self.shown = (width, height)

    def picture(self):
        """Once two looks at the screen agree."""
        path = os.path.join(self.screen, "Xvfb_screen0")
        before = None
        for _ in range(40):
            now = pictures.Picture.from_xwd(path, *self.shown)
            if before is not None and before.rows == now.rows:
                return now
            before = now
            time.sleep(0.1)
        return before

    def end(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)

    def close(self):
        self.end(signal.SIGKILL)
        self.server.terminate()
        self.server.wait(10)
        shutil.rmtree(self.screen, ignore_errors=True)


def words_on(picture):
    """What tesseract reads on the picture, in lower case; None without it."""
    if not shutil.which("tesseract"):
        return None
    done = subprocess.run(["tesseract", "-", "-", "--psm", "11"], input=picture.for_reading(), capture_output=True)
    return done.stdout.decode(errors="replace").lower() if done.returncode == 0 else None


class Story:
    def __init__(self, desktop, folder):
        self.desktop, self.folder, self.taken, self.faults = desktop, folder, [], []

    def take(self, name, words=()):
        picture = self.desktop.picture()
        path = self.folder / f"{len(self.taken):02d}-{name}.png"
        picture.save(path)
        self.taken.append((name, picture))
        read = words_on(picture) if words else None
        for word in words if read is not None else ():
            if word.lower() not in read:
                self.faults.append(f"{path.name}: “{word}” is not to be read on it")
        return picture

    def wait_for(self, word, seconds):
        """Until the word can be read; without OCR that long a time as an answer takes."""
        if not shutil.which("tesseract"):
            time.sleep(3)
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if word.lower() in words_on(self.desktop.picture()):
                return
            time.sleep(0.2)
        self.faults.append(f"“{word}” did not appear within {seconds} s")


def first_run(story):
    desktop = story.desktop
    story.wait_for("What would you like", 30)
    story.wait_for("Demo model", 30)
    story.take("welcome", ["Everything happens on this machine", "experts"])
    desktop.type("What is Millrace?")
    desktop.key("Return")
    story.wait_for("from memory", 30)
    story.take("answer", ["What is Millrace", "Copy"])
    desktop.key("ctrl+Up")
    time.sleep(0.3)
    story.take("edit", ["Edit message", "old version stays"])
    desktop.key("ctrl+a")
    desktop.type("How does Millrace use my drive?")
    desktop.key("ctrl+Return")
    story.wait_for("from memory", 30)
    story.take("branch", ["use my drive"])
    desktop.key("ctrl+shift+b")
    time.sleep(0.3)
    story.take("branches", ["What is Millrace", "use my drive"])
    desktop.key("Escape")
    desktop.key("alt+Left")
    time.sleep(0.5)
    desktop.key("ctrl+f")
    time.sleep(0.2)
    desktop.type("mill")
    time.sleep(0.5)
    story.take("find")
    desktop.key("Escape", "ctrl+shift+m")
    time.sleep(0.3)
    story.take("export", ["Export chat"])
    exported = story.desktop.home / "exported.md"
    desktop.key("ctrl+a")
    desktop.type(str(exported))
    desktop.key("Return")
    time.sleep(1)
    if not exported.exists() or "Millrace" not in exported.read_text():
        story.faults.append("the exported file does not hold the chat")
    desktop.key("ctrl+k")
    time.sleep(0.3)
    story.take("palette", ["Rename chat", "Delete chat"])
    desktop.key("Escape")
    stop_and_go_on(story)


def stop_and_go_on(story):
    """An answer with thinking is stopped and continued, then a search over all chats."""
    desktop = story.desktop
    desktop.key("ctrl+q")
    desktop.process.wait(30)
    desktop.start("--ops", "reference")  # slow enough to be stopped in the middle
    story.wait_for("Demo model", 30)
    desktop.key("ctrl+n", "ctrl+t")  # thinking on
    desktop.type("Tell me a story about the mill.")
    desktop.key("Return")
    time.sleep(0.25)
    desktop.key("Escape")
    story.wait_for("Stopped", 10)
    story.take("stopped", ["Continue"])
    desktop.key("ctrl+shift+Return")
    time.sleep(0.2)
    story.take("going-on")
    time.sleep(3)
    picture = story.take("continued", ["tok/s"])
    if "can go on" in (words_on(picture) or ""):
        story.faults.append("the answer does not go on")
    desktop.key("ctrl+e")
    time.sleep(0.3)
    desktop.tool("mousemove", "330", "205")
    time.sleep(0.5)
    story.take("token", ["experts"])
    desktop.key("ctrl+e")
    desktop.tool("mousemove", "700", "600")
    desktop.key("ctrl+shift+f")
    time.sleep(0.3)
    desktop.type("What is Mill")
    time.sleep(1)
    picture = story.take("search")
    read = words_on(picture)
    if read is not None and ("nothing found" in read or "latest" in read):  # the latest chats make room for what is found
        story.faults.append("the search over all chats does not find the first question")
    desktop.key("Escape")
    desktop.key("ctrl+q")
    desktop.process.wait(30)
    desktop.start()
    story.wait_for("Demo model", 30)
    desktop.type("How many experts does a token visit?")
    desktop.key("Return")
    time.sleep(3)  # something for the engine's screen to show


def all_screens(story, label):
    for name, chord in SCREENS:
        story.desktop.key(chord)
        time.sleep(0.3)
        story.take(f"{name}-{label}")


def killed(story):
    """kill -9 while an answer is written: what was seen is there again."""
    desktop = story.desktop
    desktop.key("ctrl+1", "ctrl+n")
    desktop.type("Tell me a story about the mill.")
    desktop.key("Return")
    time.sleep(1.5)
    desktop.end(signal.SIGKILL)
    desktop.start()
    story.wait_for("story about the mill", 30)
    story.take("after-kill", ["Tell me a story"])


def compare(story, golden, update):
    """Small grey pictures of what never changes, against those that were looked at and found good."""
    known = dict(line.split(" ", 1) for line in golden.read_text().splitlines()) if golden.exists() else {}
    wanted = [entry for entry in story.taken if entry[0].startswith(("settings-", "palette", "edit"))]
    for name, picture in wanted:
        fields = picture.grey(*GRID)
        if update:
            known[name] = bytes(fields).hex()
            continue
        if name not in known:
            story.faults.append(f"{name}: there is no golden picture of it")
            continue
        before = bytes.fromhex(known[name])
        difference = sum(abs(a - b) for a, b in zip(before, fields)) / len(fields)
        if difference > TOLERANCE:
            story.faults.append(f"{name}: differs from the golden picture by {difference:.1f} (allowed: {TOLERANCE})")
    if update:
        golden.write_text("".join(f"{name} {text}\n" for name, text in sorted(known.items())))


def run(arguments):
    folder = pathlib.Path(arguments.pictures)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    home = pathlib.Path(tempfile.mkdtemp(prefix="home-"))
    desktop = Desktop(arguments.program, home, 2880, 1800)
    story = Story(desktop, folder)
    try:
        desktop.start()
        first_run(story)
        all_screens(story, "dark")
        desktop.key("ctrl+shift+t")
        all_screens(story, "light")
        desktop.key("ctrl+shift+t")
        all_screens(story, "contrast")
        desktop.key("ctrl+shift+t")
        desktop.size(2880, 1800)
        desktop.key("ctrl+equal", "ctrl+equal", "ctrl+equal", "ctrl+equal")
        all_screens(story, "dark-2x")
        desktop.key("ctrl+shift+t")
        all_screens(story, "light-2x")
        killed(story)
        compare(story, pathlib.Path(__file__).parent / "golden_screens.txt", arguments.update)
        desktop.key("ctrl+q")
        desktop.process.wait(30)
        if desktop.process.returncode != 0:
            story.faults.append(f"the program ended with {desktop.process.returncode}")
    finally:
        desktop.close()
        shutil.rmtree(home, ignore_errors=True)
    small = [picture.half() if picture.width <= 1440 else picture.half().half() for _, picture in story.taken]
    pictures.sheet(small, 4).save(folder / "contact-sheet.png")
    print(f"{len(story.taken)} pictures in {folder}")
    for fault in story.faults:
        print("FAILED", fault)
    return 1 if story.faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--update", action="store_true", help="take this run's pictures for the golden ones")
    arguments = parser.parse_args()
    for tool in ("Xvfb", "xdotool"):
        if not shutil.which(tool):
            print(f"skipped: {tool} is not installed")
            return 77
    try:
        return run(arguments)
    except Failure as failure:
        print("FAILED", failure)
        return 1


if __name__ == "__main__":
    sys.exit(main())
