# Sourced by the scripts beside it: makes .venv, or leaves it alone when nothing has changed.
# Afterwards the working directory is the repository's, and `python` is that of .venv.
# VENV_EXTRA, if set, names an extra of pyproject.toml that is needed beside dev.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
_stamp_file=".venv/stamp${VENV_EXTRA:+-$VENV_EXTRA}"

_fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

_is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

_find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if _is_new_enough "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  _fail "No Python 3.11 or newer was found on PATH." \
    "On Debian and Ubuntu: apt install python3 python3-venv"
}

# What decides whether .venv is up to date: the dependencies, and the place it was made for.
_stamp() {
  { pwd; cat pyproject.toml; } | cksum
}

_make_venv() {
  if ! _is_new_enough .venv/bin/python; then
    local python
    python="$(_find_python)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
      _fail "$python can't make virtual environments: venv is missing." \
        "On Debian and Ubuntu: apt install python3-venv"
    echo "making .venv with $("$python" --version)" >&2
    "$python" -m venv --clear .venv
  fi
  echo "installing into .venv what pyproject.toml names" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --editable ".[dev${VENV_EXTRA:+,$VENV_EXTRA}]" >&2 ||
    _fail "The dependencies could not be installed; pip says why above."
  _stamp | tee .venv/stamp "$_stamp_file" >/dev/null
}

if [[ "$(cat "$_stamp_file" 2>/dev/null)" != "$(_stamp)" ]] || ! _is_new_enough .venv/bin/python; then
  _make_venv
fi
PATH="$PWD/.venv/bin:$PATH"
