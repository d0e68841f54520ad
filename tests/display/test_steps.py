"""The way up, read off the events."""

from asgi_quicktunnel.display.steps import Step, Steps
from asgi_quicktunnel.events import Dialled, Registered

from tests_support import told


def test_each_event_completes_its_step():
    """In order, with what came of it and how long it took."""
    steps = Steps()
    done = []
    for now, event in enumerate(told.START):
        assert steps.current is list(Step)[now]
        done.append(steps.on_event(event, now=float(now)))
    assert steps.current is None
    assert [each.step for each in done] == list(Step) == [each.step for each in steps.done]
    assert [each.detail for each in done] == [
        told.URL,
        "2 addresses",
        "198.51.100.7:7844 over QUIC",
        "lis01",
        "a request came back",
    ]
    assert [round(each.elapsed, 3) for each in done] == [0.8, 0.1, 0.05, 0.2, 1.0]
    assert (steps.url, steps.colo, steps.protocol) == (told.URL, "lis01", "quic")


def test_further_connections_are_no_steps():
    """What is told of another connection, or again of the first, changes nothing."""
    steps = Steps()
    for event in told.START[:4]:
        steps.on_event(event, now=0.0)
    other = Dialled(1, told.OTHER, "quic", 1.0)
    registration = told.REGISTERED.registration
    for event in (other, Registered(1, told.OTHER, registration, 1.0), told.LOST, told.DIALLED):
        assert steps.on_event(event, now=1.0) is None
    assert steps.current is Step.REACH


def test_a_new_tunnel_begins_anew():
    """Once the edge has forgotten the tunnel, the steps are gone through again."""
    steps = Steps()
    for event in told.START:
        steps.on_event(event, now=0.0)
    assert steps.on_event(told.PROVISIONED, now=9.0).step is Step.PROVISION
    assert steps.current is Step.DISCOVER


def test_a_step_completes_those_before_it():
    """Who takes a tunnel over is not told of the first step, and goes on all the same."""
    steps = Steps()
    assert steps.on_event(told.REGISTERED, now=0.0).step is Step.REGISTER
    assert steps.current is Step.REACH
    assert steps.on_event(told.DISCOVERED, now=0.0) is None
