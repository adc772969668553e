"""The console: a page on which a person sees live sessions move, and the feed behind it."""
