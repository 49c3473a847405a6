"""The half of the machine that asks over HTTP: each rule is a request; after it the product is what the models say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from appliance import errors
from tests.model_dav.chance import Chance
from tests.model_dav.comparison import NAMESPACE, PROPERTIES, DavTwin
from tests.model_dav.model import NOTHING, Condition, ConflictBelow, DavModel, Given, strongly_in, weakly_in
from tests.model_dav.world import World, url
from tests.server.dav_client import Answer
from tests.server.locking import XML, lockinfo, token_of
from tests.tree.model import Path, Refused, refusal

STATUS = {
    errors.NotFound: 404,
    errors.ParentMissing: 409,
    errors.NotAFolder: 409,
    errors.LockTokenMismatch: 409,
    errors.NameTaken: 405,
    errors.IsAFolder: 405,
    errors.Denied: 403,
    errors.PreconditionFailed: 412,
    errors.TargetTaken: 412,
    errors.Locked: 423,
    errors.LockConflict: 423,
    ConflictBelow: 207,
    errors.QuotaExceeded: 507,
}

user = st.integers(0, 1)
# What a rule works on comes from a generator of its own, as in tests.tree.test_model.
seed = st.integers(0, 2**32 - 1)


class Requests(RuleBasedStateMachine):
    """Two new users in a world that many machines share one after the other; the second one has a quota."""

    twins: list[DavTwin]

    def __init__(self, world: World, counts: Counter[str], stride: int) -> None:
        """At the end every moment of the past is compared whose number is a multiple of ``stride``."""
        super().__init__()
        self.world = world
        self._counts = counts
        self._stride = stride
        self._worker = 0
        self._steps = 0

    @initialize()
    def arrive(self) -> None:
        """Both begin with a few things, some of them locked, so that there is something to get in the way of."""
        self.twins = [DavTwin(self.world) for _ in range(2)]
        for twin in self.twins:
            twin.compare_all(0)
        for index in range(2):
            folders: list[Path] = [("a",), ("a", "c"), ("\u00e9",)]
            for path in folders:
                self._make_folder(index, path, NOTHING)
            files: list[Path] = [("a", "b"), ("a", "c", "a"), ("b",)]
            for number, path in enumerate(files):
                self._put(index, path, b"x" * (2500 * number), NOTHING)
        self._lock(0, ("a", "c"), NOTHING, scope="exclusive", deep=True)
        self._lock(1, ("a",), NOTHING, scope="shared", deep=False)
        self._set_quota(1, 60_000)

    # -- what every rule does

    def _begin(self, index: int, seed: int) -> tuple[DavTwin, DavModel, Chance]:
        # The same few seeds come again and again.
        self._steps += 1
        chance = Chance(seed * 1_000_003 + self._steps)
        self._worker = chance.randrange(2)
        return self.twins[index], self.twins[index].model, chance

    def _given(self, index: int, chance: Chance, path: Path) -> Given:
        return chance.given(self.twins[index].model, path, self._seen(index))

    def _seen(self, index: int) -> list[str]:
        return self.twins[index].seen()

    def _request(
        self,
        index: int,
        method: str,
        path: Path,
        model: Callable[[DavModel], object],
        success: int,
        *,
        given: Given = NOTHING,
        body: bytes | list[bytes] | None = None,
        headers: dict[str, str] | None = None,
        settle: bool = True,
    ) -> Answer | None:
        """Ask, and let the model do the same; the answer if the request passes."""
        twin = self.twins[index]
        with twin.model.asked(given):
            expected = refusal(lambda: model(twin.model))
        note(f"{index} {method} {path} {headers or ''} {given if given != NOTHING else ''} -> {expected or success}")
        where = url(path, slash=method != "PUT" and twin.is_folder(path) and self._worker == 1)
        answer = self.world.ask(twin.account, method, where, body, headers, given=given, worker=self._worker)
        assert answer.status == (STATUS[expected] if expected else success), f"{answer.status} {answer.text[:500]}"
        self._counts[f"{method} {answer.status}"] += 1
        if settle:
            self._settle(index, passed=expected is None)
        return answer if expected is None else None

    def _settle(self, index: int, *, passed: bool) -> None:
        """Afterwards both users' trees are what the models say, seen through the other worker."""
        twin = self.twins[index]
        if passed:
            twin.remember()
        twin.compare_all(1 - self._worker)
        twin.compare_past(len(twin.moments) // 2)
        self.twins[1 - index].compare_unchanged()

    def _set_quota(self, index: int, quota: int | None) -> None:
        twin = self.twins[index]
        twin.who.set_quota(quota)
        twin.model.quota = quota
        twin.compare_all(self._worker)

    # -- requests that change

    @rule(index=user, seed=seed)
    def put_new(self, index: int, seed: int) -> None:
        _, model, chance = self._begin(index, seed)
        self._put_somewhere(index, chance, chance.spot(model))

    @rule(index=user, seed=seed)
    def put_again(self, index: int, seed: int) -> None:
        _, model, chance = self._begin(index, seed)
        self._put_somewhere(index, chance, chance.there(model))

    def _put_somewhere(self, index: int, chance: Chance, path: Path) -> None:
        content = chance.content()
        self._put(index, path, content, self._given(index, chance, path), chance.body(content))

    def _put(
        self, index: int, path: Path, content: bytes, given: Given, body: bytes | list[bytes] | None = None
    ) -> None:
        twin = self.twins[index]
        success = 201 if twin.model.find(path) is None else 204
        answer = self._request(
            index, "PUT", path, lambda model: model.put(path, content), success, given=given,
            body=content if body is None else body,
        )  # fmt: skip
        if answer is not None:
            twin.meet(twin.model.existing(path), answer.etag)

    @rule(index=user, seed=seed)
    def make_folder(self, index: int, seed: int) -> None:
        _, model, chance = self._begin(index, seed)
        path = chance.spot(model)
        self._make_folder(index, path, self._given(index, chance, path))

    def _make_folder(self, index: int, path: Path, given: Given) -> None:
        self._request(index, "MKCOL", path, lambda model: model.make_folder(path), 201, given=given)

    @rule(index=user, seed=seed)
    def delete(self, index: int, seed: int) -> None:
        _, model, chance = self._begin(index, seed)
        path = chance.there(model)
        given = self._given(index, chance, path)
        self._request(index, "DELETE", path, lambda model: model.remove(path), 204, given=given)

    @rule(index=user, seed=seed, method=st.sampled_from(["MOVE", "COPY"]))
    def transfer(self, index: int, seed: int, method: str) -> None:
        twin, model, chance = self._begin(index, seed)
        one, two, overwrite = chance.there(model), chance.spot(model), chance.random() < 0.7
        deep = method == "MOVE" or chance.random() < 0.8
        old = model.find(two)
        success = 201 if old is None or old is model.find(one) else 204
        headers = {"Destination": url(two), "Overwrite": "T" if overwrite else "F"}
        headers |= {} if deep else {"Depth": "0"}
        given = self._given(index, chance, one)

        def work(model: DavModel) -> None:
            if method == "MOVE":
                model.move(one, two, overwrite=overwrite)
            else:
                model.copy(one, two, overwrite=overwrite, deep=deep)

        answer = self._request(index, method, one, work, success, given=given, headers=headers)
        if answer is not None and not twin.is_folder(two):
            twin.meet(model.existing(two), answer.etag)

    @rule(index=user, seed=seed)
    def patch(self, index: int, seed: int) -> None:
        _, model, chance = self._begin(index, seed)
        path = chance.there(model)
        changes = [
            (chance.choice(PROPERTIES), chance.choice(("one", "two", None))) for _ in range(chance.randint(1, 2))
        ]
        elements = "".join(
            f"<D:remove><D:prop><x:{name}/></D:prop></D:remove>"
            if value is None
            else f"<D:set><D:prop><x:{name}>{value}</x:{name}></D:prop></D:set>"
            for name, value in changes
        )
        body = f'<D:propertyupdate xmlns:D="DAV:" xmlns:x="{NAMESPACE}">{elements}</D:propertyupdate>'.encode()
        given = self._given(index, chance, path)
        self._request(
            index, "PROPPATCH", path, lambda model: model.patch(path, changes), 207, given=given, body=body,
            headers={"Content-Type": XML},
        )  # fmt: skip

    # -- locks

    @rule(index=user, seed=seed)
    def lock(self, index: int, seed: int) -> None:
        _, model, chance = self._begin(index, seed)
        path = chance.there(model) if chance.random() < 0.7 else chance.spot(model)
        scope, deep = chance.choice(("exclusive", "exclusive", "shared")), chance.random() < 0.5
        self._lock(index, path, self._given(index, chance, path), scope=scope, deep=deep)

    def _lock(self, index: int, path: Path, given: Given, *, scope: str, deep: bool) -> None:
        model = self.twins[index].model
        success = 201 if model.find(path) is None else 200
        answer = self._request(
            index, "LOCK", path, lambda model: model.lock(path, scope=scope, deep=deep), success, given=given,
            body=lockinfo(scope=scope), headers={"Content-Type": XML, "Depth": "infinity" if deep else "0"},
            settle=False,
        )  # fmt: skip
        if answer is not None:
            model.locks[-1].token = token_of(answer)
        self._settle(index, passed=answer is not None)

    @precondition(lambda self: any(twin.model.locks for twin in self.twins))
    @rule(index=user, seed=seed, refresh=st.booleans())
    def with_a_token(self, index: int, seed: int, refresh: bool) -> None:
        """UNLOCK, or the refresh of a lock."""
        index = index if self.twins[index].model.locks else 1 - index
        _, model, chance = self._begin(index, seed)
        held = chance.choice(model.locks)
        path = held.path if chance.random() < 0.6 else chance.there(model)
        if refresh:
            demand = Given(demands=chance.list_of(path, Condition(token=held.token)))
            given = demand if chance.random() < 0.8 else self._given(index, chance, path)
            self._request(index, "LOCK", path, lambda model: model.refresh(path), 200, given=given)
        else:
            sent = {"Lock-Token": f"<{held.token}>"}
            self._request(index, "UNLOCK", path, lambda model: model.unlock(path, held.token), 204, headers=sent)

    # -- reading

    @rule(index=user, seed=seed)
    def get(self, index: int, seed: int) -> None:
        """With ranges and conditions; of a folder a page comes."""
        twin, model, chance = self._begin(index, seed)
        path = chance.there(model)
        given = self._given(index, chance, path)._replace(token=None)
        node = model.find(path)
        content = None if node is None or node.version is None else node.version.content
        etag = model.etag(node)
        headers: dict[str, str] = {}
        parts: list[bytes] | None = None
        if content and etag is not None and chance.random() < 0.6:
            headers, parts = chance.range(content, etag, self._seen(index))
        with model.asked(given):
            expected = _get_status(model, path, given, parts)
        answer = self.world.ask(twin.account, "GET", url(path), None, headers, given=given, worker=self._worker)
        note(f"{index} GET {path} {headers} {given} -> {expected}")
        assert answer.status == expected, answer.text[:500]
        self._counts[f"GET {answer.status}"] += 1
        if answer.status in (200, 206, 304):
            assert answer.etag == etag
        if content is not None and answer.status == 200:
            assert answer.body == content
        elif answer.status == 206:
            assert _parts(answer) == parts


def _get_status(model: DavModel, path: Path, given: Given, parts: list[bytes] | None) -> int:
    """In the order of RFC 9110 §13.2.2; ``parts`` as in ``Range``."""
    try:
        node = model.read(path)
    except Refused as refused:
        return STATUS[refused.error]
    etag = model.etag(node)
    if given.match is not None and not strongly_in(given.match, etag):
        return 412
    if given.none_match is not None and weakly_in(given.none_match, etag):
        return 304
    if parts is None:
        return 200
    return 206 if parts else 416


def _parts(answer: Answer) -> list[bytes]:
    """The parts of a 206, in order."""
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    if kind != "multipart/byteranges":
        return [answer.body]
    pieces = (b"\r\n" + answer.body).split(b"\r\n--" + boundary.encode())
    return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]
