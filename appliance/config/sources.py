"""Collects what was written for each setting, and where; the first source in this order wins.

The command line, the environment, the file, the table's default.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from appliance.config.setting import PREFIX
from appliance.config.table import BY_NAME, INLINE_FOR_S3, TABLE, Settings
from appliance.config.testing import FAULT, faults_are_allowed
from appliance.config.values import Given, parse
from appliance.errors import ConfigError

_NAMES = {name: name for name in BY_NAME}
_VARIABLES = {setting.variable: setting.name for setting in TABLE}
_AWS_VARIABLES = {
    "s3_access_key": "AWS_ACCESS_KEY_ID",
    "s3_secret_key": "AWS_SECRET_ACCESS_KEY",
    "s3_session_token": "AWS_SESSION_TOKEN",
}
# What Kubernetes and Docker links put into every container beside a service that is called "holdfast".
_FOREIGN = re.compile(r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)")


def load(config_file: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """Settings from ``overrides``, else ``environ``, else the file, else the defaults.

    ``HOLDFAST_CONFIG`` names the file where ``config_file`` is None. An override that is None, a variable that is
    empty, and an empty text or null in the file count as not given. Raises: ConfigError, which never contains a
    secret's value.
    """
    if config_file is None and environ.get(PREFIX + "CONFIG"):
        config_file = Path(environ[PREFIX + "CONFIG"])
    here = Path.cwd()
    given = {} if config_file is None else _from_file(here / config_file)
    given |= _from_environment(environ, here)
    given |= _of_aws(environ, here, given)
    given |= {
        _known(name, _NAMES): Given(value, "the command line", here)
        for name, value in overrides.items()
        if value is not None
    }
    values: dict[str, Any] = {
        setting.name: parse(setting, given.get(setting.name) or Given(setting.default_value(), "", here))
        for setting in TABLE
    }
    if "lock_seconds" not in given:
        values["lock_seconds"] = min(values["lock_seconds"], values["max_lock_seconds"])
    if "inline_threshold" not in given and values["blobs_url"] is not None and values["blobs_url"].path is None:
        values["inline_threshold"] = INLINE_FOR_S3
    settings = Settings(**values)
    _check_tls(settings)
    _check_presigned(settings)
    if settings.lock_seconds > settings.max_lock_seconds:
        raise ConfigError(
            setting="lock_seconds",
            problem=f"{settings.lock_seconds} is more than max_lock_seconds ({settings.max_lock_seconds}); "
            "lower it or raise the other",
        )
    return settings


def _check_tls(settings: Settings) -> None:
    for one, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
        if getattr(settings, one) is not None and getattr(settings, other) is None:
            raise ConfigError(setting=one, problem=f"it is of no use alone; set {other} too, or neither")
    if settings.hsts_seconds and settings.tls_certificate is None:
        raise ConfigError(
            setting="hsts_seconds",
            problem="it has an effect with tls_certificate only; set that too, or let the proxy tell it",
        )


def _check_presigned(settings: Settings) -> None:
    if settings.s3_presigned and settings.seal != "off":
        raise ConfigError(
            setting="s3_presigned",
            problem="it has an effect with `seal: off` only: what is sealed can be read by this server alone",
        )
    endpoint = settings.s3_public_endpoint
    if endpoint is None:
        return
    if not settings.s3_presigned:
        raise ConfigError(setting="s3_public_endpoint", problem="it is of no use alone; set s3_presigned too")
    if "/" in endpoint.partition("://")[2]:
        raise ConfigError(
            setting="s3_public_endpoint", problem=f"{endpoint} has a path; write scheme, host and port only"
        )


def _known(written: str, names: Mapping[str, str], where: str = "") -> str:
    """The setting that a key or variable names. Raises: ConfigError with the nearest one, if any is near."""
    if written in names:
        return names[written]
    near = difflib.get_close_matches(written.removeprefix(PREFIX).lower(), BY_NAME, n=1)
    advice = next((f"did you mean {key}?" for key, name in names.items() if name in near), "remove it")
    raise ConfigError(setting=written, problem=f"there is no such setting{where}; {advice}")


def _from_environment(environ: Mapping[str, str], here: Path) -> dict[str, Given]:
    given = {}
    for variable, text in sorted(environ.items()):
        name = variable.removeprefix(PREFIX)
        if not variable.startswith(PREFIX) or name == "CONFIG" or name.startswith("TEST_"):
            continue
        if _FOREIGN.fullmatch(name) or (name == "PORT" and text.startswith(("tcp://", "udp://"))):
            continue
        if variable == FAULT and faults_are_allowed(environ):
            continue
        known = _known(variable, _VARIABLES)
        if text:
            given[known] = Given(text, variable, here)
    return given


def _of_aws(environ: Mapping[str, str], here: Path, given: Mapping[str, Given]) -> dict[str, Given]:
    """The keys that every S3 program reads, if this one was given none of its own."""
    if given.keys() & _AWS_VARIABLES.keys():
        return {}
    return {
        name: Given(environ[variable], variable, here)
        for name, variable in _AWS_VARIABLES.items()
        if environ.get(variable)
    }


class _KeyTwice(yaml.MarkedYAMLError):
    """A key stands twice in one mapping; YAML libraries let the last one win."""


class _TextLoader(yaml.BaseLoader):
    """Leaves every scalar as it was typed, except null: 0123 and no are what the person wrote, not 83 and False."""


def _mapping(loader: _TextLoader, node: yaml.MappingNode) -> dict[str, object]:
    mapping: dict[str, object] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.MarkedYAMLError(problem_mark=key_node.start_mark)
        if key in mapping:
            raise _KeyTwice(problem_mark=key_node.start_mark)
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_TextLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_TextLoader.add_constructor("tag:yaml.org,2002:null", lambda loader, node: None)
_TextLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _from_file(path: Path) -> dict[str, Given]:
    document = _read(path)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(setting="config", problem=f"{path} must hold lines like `name: value`")
    given: dict[str, Given] = {}
    for written, value in _flat(document):
        if value in (None, "") and written in BY_NAME:
            continue
        name = _known(written, _NAMES, where=f" (in {path})")
        if name in given:
            raise ConfigError(setting=name, problem=f"it stands twice in {path}; remove one of the two")
        given[name] = Given(value, str(path), path.parent)
    return given


def _flat(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """``group: {name: …}`` and ``group.name: …`` are ``group_name: …``, where there are settings that begin so."""
    for written, value in document.items():
        prefix = f"{written}_"
        if isinstance(value, dict) and written not in BY_NAME and any(name.startswith(prefix) for name in BY_NAME):
            yield from ((prefix + each, inner) for each, inner in value.items())
        else:
            flat = written.replace(".", "_")
            yield flat if flat in BY_NAME else written, value


def _read(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problem = f"there is no file {path}; name one that exists"
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror}); change its permissions or name another"
    except UnicodeDecodeError as error:
        problem = f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8"
    else:
        try:
            return yaml.load(text, _TextLoader)
        except (yaml.YAMLError, RecursionError) as error:
            problem = _yaml_problem(path, error)
    raise ConfigError(setting="config", problem=problem)


def _yaml_problem(path: Path, error: Exception) -> str:
    """One clause with the line. YAML's own message is left out: it can quote a password that was not in quotes."""
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}: " if mark is not None else f"{path}: "
    if isinstance(error, _KeyTwice):
        return f"{where}a name stands there for the second time; remove one of the two"
    return f"{where}this is not YAML; check the indentation and put text with special characters in quotes"
