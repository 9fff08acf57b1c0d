from pynetdicom import AllStoragePresentationContexts, build_context

from receiver.provider import accepted_contexts
from receiver.syntaxes import preference

SYNTAXES = preference((), ())


def test_storage_contexts_are_those_that_pynetdicom_builds_one_by_one():
    _, _, *storage = accepted_contexts(None, SYNTAXES)

    assert storage == [
        build_context(each.abstract_syntax, list(SYNTAXES))
        for each in AllStoragePresentationContexts
    ]


def test_only_the_allowed_classes_are_accepted():
    allowed = {"1.2.840.10008.5.1.4.1.1.2", "1.2.826.0.1.3680043.9.1"}

    _, _, *storage = accepted_contexts(frozenset(allowed), SYNTAXES)

    assert {each.abstract_syntax for each in storage} == allowed
