"""Holding a user's tree, as WebDAV and commands show it, against the model."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import unquote

from appliance.accounts import usage
from appliance.accounts.usage import NOTHING
from tests.model_dav.model import DavModel, same_path
from tests.model_dav.world import ROOT, Account, World, url
from tests.server.listing import Entry, parse
from tests.tree.comparison import Twin
from tests.tree.model import Node, Path, Version, key

PROPERTIES = ("n", "m")
NAMESPACE = "urn:x"

_WANTED = (
    b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:x="urn:x"><D:prop>'
    b"<D:resourcetype/><D:getcontentlength/><D:getetag/><D:quota-used-bytes/><D:quota-available-bytes/>"
    b"<D:lockdiscovery/><oc:size/><x:n/><x:m/></D:prop></D:propfind>"
)


class DavTwin(Twin):
    """A user's tree beside its model. What the use cases show is compared by the class above."""

    model: DavModel

    def __init__(self, world: World) -> None:
        self.world = world
        self.account: Account = world.newcomer()
        super().__init__(self.account.who)
        self.model = DavModel()
        self.model.root.real = self._root
        # Every ETag that was ever seen, and what it names.
        self._named: dict[str, object] = {}

    def reopen(self) -> None:
        """After a restart."""
        self.who = self.account.who = self.world.person(self.account.name)

    def seen(self) -> list[str]:
        """Every ETag that was ever told here, in the order in which they were."""
        return list(self._named)

    def is_folder(self, path: Path) -> bool:
        node = self.model.find(path)
        return node is not None and node.is_folder

    def version_name(self, path: Path, version: Version | None) -> str:
        """As ``holdfast versions`` lists it."""
        if version is None or version.real is None:
            return "1"
        node_id, seq = version.real
        # The copies that one change made have one number, and can come to the same path one after the other.
        several = sum(each.real is not None and each.real[1] == seq for each in self.model.versions(path)) > 1
        return f"{seq}.{node_id}" if several else str(seq)

    def trash_ids(self) -> list[int]:
        return sorted(removed.node.real or 0 for removed in self.model.trash)

    def compare_all(self, worker: int) -> None:
        """Everything that can be seen of the present, listings through this worker."""
        self.compare()
        self._compare_listing((), self.model.root, worker)
        self._compare_figures()

    def meet(self, node: Node, etag: str) -> None:
        """An ETag was told: a state keeps its own, and no two states have the same."""
        state = self.model.state(node)
        assert self.model.etags.setdefault(state, etag) == etag, "the ETag of an unchanged state changed"
        assert self._named.setdefault(etag, state) == state, "an ETag that was used before names another state"

    def _compare_listing(self, path: Path, folder: Node, worker: int) -> None:
        where = url(path, slash=True)
        answer = self.world.ask(
            self.account, "PROPFIND", where, _WANTED, {"Depth": "1", "Content-Type": "text/xml"}, worker=worker
        )
        entries = {key(unquote(href)): entry for href, entry in parse(answer).items()}
        prefix = key(unquote(where))
        self._compare_entry(path, folder, entries.pop(prefix))
        expected = {prefix + name + ("/" if node.is_folder else ""): node for name, node in folder.members.items()}
        assert set(entries) == set(expected), path
        for href, node in expected.items():
            self._compare_entry((*path, node.name), node, entries[href])
            if node.is_folder:
                self._compare_listing((*path, node.name), node, worker)

    def _compare_entry(self, path: Path, node: Node, entry: Entry) -> None:
        self.meet(node, entry["D:getetag"])
        assert entry.is_folder == node.is_folder
        assert int(entry["oc:size"]) == node.bytes
        if node.version is not None:
            assert int(entry["D:getcontentlength"]) == len(node.version.content)
        else:
            self._compare_quota(entry)
        found = {name: entry.values[f"{{{NAMESPACE}}}{name}"].text for name in PROPERTIES if _has(entry, name)}
        assert found == node.properties, path
        self._compare_locks(path, node, entry)

    def _compare_quota(self, entry: Entry) -> None:
        used, quota = self.model.root.bytes, self.model.quota
        assert int(entry["D:quota-used-bytes"]) == used
        if quota is not None:
            assert int(entry["D:quota-available-bytes"]) == max(quota - used, 0)

    def _compare_locks(self, path: Path, node: Node, entry: Entry) -> None:
        found = {}
        for active in entry.values["{DAV:}lockdiscovery"].iterfind("{DAV:}activelock"):
            token, root = (_href(active, name) for name in ("locktoken", "lockroot"))
            deep = active.findtext("{DAV:}depth") == "infinity"
            scope = next(iter(active.iterfind("{DAV:}lockscope/*"))).tag.removeprefix("{DAV:}")
            found[token] = (scope, deep, tuple(unquote(root.removeprefix(ROOT)).strip("/").split("/")))
        held = {lock.token: lock for lock in self.model.covering(node)}
        assert set(found) == set(held), path
        for token, (scope, deep, root_path) in found.items():
            assert (scope, deep) == (held[token].scope, held[token].deep)
            assert same_path(root_path, held[token].path or ("",))

    # -- figures

    def kept(self) -> tuple[int, int]:
        """Bytes in the trash, and in earlier versions of everything."""
        everything = [node for _, node in self.model.root.walk()]
        everything += [node for removed in self.model.trash for _, node in removed.node.walk()]
        history = sum(
            len(version.content) for node in everything for version in node.versions if version is not node.version
        )
        return sum(removed.node.bytes for removed in self.model.trash), history

    def _compare_figures(self) -> None:
        found = usage.kept(self.who.files.database).get(self.who.user.id, NOTHING)
        assert tuple(found) == self.kept()

    def line(self) -> list[str]:
        """What ``holdfast user list`` has to say after the name."""
        root, quota = self.model.root, self.model.quota
        figures = (root.files, root.bytes, "none" if quota is None else quota, *self.kept())
        return ["admin", "active", *map(str, figures)]

    def read_all(self, worker: int) -> None:
        """Every file by GET."""
        for path, node in self.model.root.walk():
            if node.version is not None:
                answer = self.world.ask(self.account, "GET", url(path), worker=worker)
                assert (answer.status, answer.body) == (200, node.version.content), path
                self.meet(node, answer.etag)


def _has(entry: Entry, name: str) -> bool:
    return f"{{{NAMESPACE}}}{name}" in entry.values


def _href(active: ET.Element, name: str) -> str:
    return active.findtext(f"{{DAV:}}{name}/{{DAV:}}href") or ""
