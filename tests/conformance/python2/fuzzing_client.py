"""Autobahn|Testsuite's fuzzing client against one server: runs under Python 2.7.

python2.7 autobahn_client.py PACKAGES SPEC HOST: PACKAGES is the folder that pip installed into,
SPEC the suite's own settings as JSON, HOST what the Host header says. Writes one line of JSON for
each case that is over.
"""

import json
import site
import sys

site.addsitedir(sys.argv[1])

from autobahntestsuite.fuzzing import FuzzingClientFactory  # noqa: E402
from twisted.internet import reactor  # noqa: E402


class FuzzingClient(FuzzingClientFactory):
    """Reports each case as soon as it is over, and writes no files."""

    def logCase(self, result):  # noqa: N802  # the suite's name
        """Write what a reader of the results needs."""
        names = ("id", "behavior", "behaviorClose", "duration", "result", "remoteCloseCode")
        sys.__stdout__.write(json.dumps({name: result[name] for name in names}) + "\n")
        sys.__stdout__.flush()

    def createReports(self, produceHtml=False, produceJson=False):  # noqa: N802, N803
        """Do nothing."""


sys.stdout = sys.stderr  # the suite talks a lot
client = FuzzingClient(json.loads(sys.argv[2]))
# The address to connect to was taken from the URL, so the name need not be known to anyone.
client.host = sys.argv[3]
reactor.run()
