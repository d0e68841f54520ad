"""Autobahn|Testsuite's fuzzing client against one server: runs under Python 2.7.

python2.7 fuzzing_client.py PACKAGES SPEC NAME MESSAGES: PACKAGES is the folder that pip installed
into, SPEC the suite's own settings as JSON, NAME what the Host header says, MESSAGES how many each
case of groups 12 and 13 sends. Writes one line of JSON for each case that is over.
"""

import json
import site
import sys

site.addsitedir(sys.argv[1])

from autobahntestsuite.case import Case12_X_X, Case13_X_X
from autobahntestsuite.fuzzing import FuzzingClientFactory
from twisted.internet import reactor


class FuzzingClient(FuzzingClientFactory):
    """Reports each case as soon as it is over, and writes no files."""

    def logCase(self, result):  # the suite's name
        """Write what a reader of the results needs."""
        names = ("id", "behavior", "behaviorClose", "duration", "result")
        sys.__stdout__.write(json.dumps({name: result[name] for name in names}) + "\n")
        sys.__stdout__.flush()

    def createReports(self, produceHtml=False, produceJson=False):
        """Do nothing."""


sys.stdout = sys.stderr  # the suite talks a lot
for case in Case12_X_X + Case13_X_X:
    case.COUNT = int(sys.argv[4])
client = FuzzingClient(json.loads(sys.argv[2]))
# The address to connect to was taken from the URL, so the name need not be known to anyone.
client.host = sys.argv[3]
reactor.run()
