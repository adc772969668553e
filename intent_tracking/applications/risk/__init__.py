"""Risk control: bots, abuse of promotions and refunds, abnormal orders, each with its reasons.

`features` says what a case looks like, `policy` what the shop declares, `rules` and `model` judge, `training` learns,
`review` keeps the queue and turns the decisions of people into labels.
"""
