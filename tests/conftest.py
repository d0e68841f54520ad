"""Fixtures for every test."""

import os

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--engine",
        choices=("auto", "native", "aioquic"),
        help="the QUIC engine of connectors and edges, also in the processes that tests start",
    )


def pytest_configure(config):
    if engine := config.getoption("--engine"):
        os.environ["QUICKTUNNEL_ENGINE"] = engine


@pytest.fixture
def anyio_backend():
    return "asyncio"
