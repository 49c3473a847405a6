"""Upload a file of any size in parts, several at a time; stopped and started again it goes on where it was.

python3 upload.py https://files.example.com FILE [FOLDER]    with UPLOAD_USER and UPLOAD_PASSWORD in the environment
"""

import base64
import hashlib
import os
import pathlib
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

PARALLEL, ATTEMPTS = 4, 12
server, name = sys.argv[1].rstrip("/"), pathlib.Path(sys.argv[2])
folder, size = (sys.argv[3] if len(sys.argv) > 3 else "/"), name.stat().st_size
# What is gone on with has to be the same file on its way to the same place.
same = f"{server} {folder} {size} {name.stat().st_mtime_ns}"
state, local = name.with_name(name.name + ".upload"), threading.local()


def ask(method, path, **options):
    """A request; again after a growing while if the server is away, overloaded, or says so."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.auth = (os.environ["UPLOAD_USER"], os.environ["UPLOAD_PASSWORD"])
    for attempt in range(ATTEMPTS):
        wait = min(2**attempt / 4, 30) * random.uniform(0.5, 1)
        try:
            answer = local.session.request(method, f"{server}/api/v1{path}", timeout=120, **options)
            if answer.status_code not in (429, 500, 502, 503, 504):
                return answer
            wait = max(wait, float(answer.headers.get("Retry-After", 0)))
        except requests.RequestException as error:
            answer = error
        time.sleep(wait)
    sys.exit(f"\n{method} {path}: given up: {answer}")


def put(number):
    """Send a part, with its digest; draw how far all of it is."""
    with name.open("rb") as file:
        file.seek((number - 1) * begun["chunkSize"])
        data = file.read(begun["chunkSize"])
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    ask("PUT", f"{url}/parts/{number}", data=data, headers={"Content-Digest": f"sha-256=:{digest}:"}).raise_for_status()
    sent.append(number)
    done = len(sent) / begun["totalChunks"]
    print(f"\r[{'#' * int(40 * done):40}] {100 * done:5.1f} %", end="", flush=True)


token, _, known = state.read_text().partition(" ") if state.exists() else ("", "", "")
found = ask("GET", f"/uploads/{token}") if known == same else None
if found is None or not found.ok:
    found = ask("POST", "/files", json={"fileName": name.name, "fileSize": size, "path": folder, "overwrite": True})
found.raise_for_status()
begun = found.json()
url = f"/uploads/{begun['uploadId']}"
state.write_text(f"{begun['uploadId']} {same}")
if "chunkSize" in begun:
    sent = list(begun.get("received", []))
    missing = list(set(range(1, begun["totalChunks"] + 1)) - set(sent))
    random.shuffle(missing)
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(put, missing))
    done = ask("POST", f"{url}/complete")
else:
    done = ask("PUT", f"{url}/content", data=name.read_bytes())
done.raise_for_status()
state.unlink()
print(f"\n{done.json()['fileName']}: {size} bytes, file {done.json()['fileId']}")
