"""Whether an organisation is behind: whether its writes may be answered before they are applied."""

from dataclasses import dataclass

from rollcall.kafka.topic_reader import TopicReader
from rollcall_ingress.behind.own_writes import OwnWrites
from rollcall_ingress.door.key_directory import KeyDirectory
from rollcall_ingress.write.await_reply import Breakers


@dataclass(frozen=True, slots=True)
class IsBehind:
    """Called with an organisation's id. `reply_s` is the budget of an answer, in seconds.

    An organisation is behind while this replica does not wait for its replies, or cannot read them,
    and while something of its partition was answered here that is not known to be applied.
    """

    directory: KeyDirectory
    own: OwnWrites
    breakers: Breakers
    replies: TopicReader
    reply_s: float

    def __call__(self, organisation_id: str) -> bool:
        """An organisation that is not known is behind."""
        organisation = self.directory.organisation(organisation_id)
        return (
            organisation is None
            or not self.own.are_applied(organisation.partition)
            or self.reply_s <= 0
            or not self.reads_replies
            or self.breakers.is_open(organisation.partition)
        )

    @property
    def reads_replies(self) -> bool:
        """Whether replies to what is sent now would be read here."""
        return self.replies.partition is not None and self.replies.positioned.is_set()
