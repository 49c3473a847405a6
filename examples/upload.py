"""Upload a file of any size in parts, four at a time; stopped and started again it goes on where it was.

python3 upload.py https://files.example.com FILE [FOLDER]    with UPLOAD_USER and UPLOAD_PASSWORD in the environment
"""

import base64
import hashlib
import os
import pathlib
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import requests
from urllib3 import Retry

if len(sys.argv) not in (3, 4) or not {"UPLOAD_USER", "UPLOAD_PASSWORD"} <= os.environ.keys():
    sys.exit(__doc__)
server, file, folder = sys.argv[1].rstrip("/"), pathlib.Path(sys.argv[2]), "".join(sys.argv[3:]) or "/"
# What is gone on with has to be the same file on its way to the same place.
same = f"{server} {folder} {file.stat().st_size} {file.stat().st_mtime_ns}"
state, session = file.with_name(file.name + ".upload"), requests.Session()
session.auth = (os.environ["UPLOAD_USER"], os.environ["UPLOAD_PASSWORD"])
# Again after 0.5 s, 1 s, 2 s … if the server is away or overloaded, or when it says.
again = Retry(11, backoff_factor=0.25, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None)
session.mount(server, requests.adapters.HTTPAdapter(max_retries=again))


def ask(method, path, lost_ok=False, **options):
    """What the server answers, or None where a 404 is no surprise."""
    answer = session.request(method, f"{server}/api/v1{path}", timeout=120, **options)
    if not answer.ok and not (lost_ok and answer.status_code == 404):
        sys.exit(f"\n{method} {path}: {answer.text}")
    return answer.json() if answer.ok else None


def put(number):
    """Send a part with its digest, and draw how far all of it is."""
    with file.open("rb") as source:
        source.seek((number - 1) * begun["chunkSize"])
        data = source.read(begun["chunkSize"])
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    ask("PUT", f"{url}/parts/{number}", data=data, headers={"Content-Digest": f"sha-256=:{digest}:"})
    sent.append(number)
    print(f"\r[{'#' * (40 * len(sent) // count):40}] {100 * len(sent) / count:5.1f} %", end="", flush=True)


token, _, known = state.read_text().partition(" ") if state.exists() else ("", "", "")
wanted = {"fileName": file.name, "fileSize": file.stat().st_size, "path": folder, "overwrite": True}
begun = (known == same and ask("GET", f"/uploads/{token}", lost_ok=True)) or ask("POST", "/files", json=wanted)
url, count, sent = f"/uploads/{begun['uploadId']}", begun.get("totalChunks"), begun.get("received", [])
state.write_text(f"{begun['uploadId']} {same}")
if count:
    missing = list({*range(1, count + 1)} - {*sent})
    random.shuffle(missing)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, missing))
done = ask("POST", f"{url}/complete") if count else ask("PUT", f"{url}/content", data=file.read_bytes())
state.unlink()
print(f"\n{done['fileName']}: {done['fileSize']} bytes, file {done['fileId']}")
