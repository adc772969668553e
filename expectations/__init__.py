"""One Great Expectations suite per dataset, as code: `expectations.<dataset>.suite()`.

The vocabularies come from `intent_tracking`, so that a new event name or feature is typed once. Great Expectations
takes seconds to import: it is imported where a suite is built.
"""
