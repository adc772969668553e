"""The intent service: tracks sessions live and answers what each shopper wants."""
