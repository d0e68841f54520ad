"""The demos: an example under uvicorn, public through the embedded edge.

run.py runs one; fastapi.py and django.py are what there is to run; examples.py finds their files,
serving.py serves them.
"""
