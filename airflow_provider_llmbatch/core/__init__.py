"""The path of a record, one module per step.

    records    one input row, and the key that names it for ever
    prompts    one record's text, made from a template
    requests   what we will ask, as the exact bytes we will be billed for
    shards     as many requests as one vendor batch may hold
    batches    a shard that a vendor has accepted, and how long to wait for it
    results    what came back for one request
    rows       one verdict per record: good, to be asked again, or final
    outputs    what the next task reads

``limits`` says what a vendor takes, ``manifest`` remembers how far a job has come, ``cost`` adds up what it took.

Everything here is pure: same arguments, same answer. The clock comes in as ``now``; the world stays out.
"""
