"""Feature declarations: one declaration gives the batch expression, the stream update and the store view.

`catalogue` names the features, `declaration` says what a feature is, `batch` and `stream` compute it, `schema` gives
the tables and views, `online` reads the Feast online store without Feast.
"""
