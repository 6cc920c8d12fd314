package verify

import (
	"github.com/google/uuid"

	"eventshop.example/pkg/retry"
)

// holder is what keeps a failed record in one group: the retry record at the head of its key, the
// row that waits behind a head, or the dead letter. A resubmitted dead letter is one holder,
// wherever it waits.
type holder struct {
	group, key string
	place      Place
	inboxID    uuid.UUID
	state      string   // "retrying", or a dead letter's "open", "resolved", "discarded"
	what       reported // for people
	letter     *DeadLetter
}

// held collects the holders, the retry records and the dead letters.
type held struct {
	all        []holder
	at         map[placeOf][]holder
	inbox      map[receipt][]holder
	retries    map[uuid.UUID]Retry
	letters    map[uuid.UUID]*DeadLetter
	parkedKeys map[parkedKey]ParkedKey
}

type placeOf struct {
	group string
	place Place
}

type receipt struct {
	group string
	id    uuid.UUID
}

// parkedKey is the unit within which order is kept: a key of a topic, in a group. The tables of parked
// keys and records store long keys as hashes; dead letters and retry records have the original
// keys.
type parkedKey struct{ group, topic, key string }

// parkedKeyOf returns the unit of a record with that key.
func parkedKeyOf(group, topic, key string) parkedKey {
	return parkedKey{group, topic, retry.KeyOf(topic, []byte(key)).Key}
}

func hold(f Facts) held {
	h := held{
		at: map[placeOf][]holder{}, inbox: map[receipt][]holder{},
		retries: map[uuid.UUID]Retry{}, letters: map[uuid.UUID]*DeadLetter{}, parkedKeys: map[parkedKey]ParkedKey{},
	}
	for _, r := range f.Retries {
		h.retries[r.ID] = r
	}
	for i := range f.DeadLetters {
		l := &f.DeadLetters[i]
		h.letters[l.ID] = l
		state := l.Status
		if state == "resubmitted" {
			state = "retrying"
		}
		h.add(holder{l.Group, l.Key, l.Place, l.InboxID, state, tell("dead letter %s (%s)", l.ID, l.Status), l})
	}
	for _, k := range f.ParkedKeys {
		h.parkedKeys[parkedKey{k.Group, k.Topic, k.Key}] = k
		r, ok := h.retries[k.Head]
		if k.State == "retrying" && ok && !r.Skip && r.DeadLetter == uuid.Nil {
			h.add(holder{k.Group, k.Key, r.Place, r.InboxID, "retrying", tell("retry %s", k.Head), nil})
		}
	}
	for _, p := range f.ParkedRecords {
		if p.DeadLetter == uuid.Nil {
			h.add(holder{p.Group, p.Key, p.Place, p.InboxID, "retrying", tell("parked record %d", p.Position), nil})
		}
	}
	return h
}

func (h *held) add(o holder) {
	h.all = append(h.all, o)
	h.at[placeOf{o.group, o.place}] = append(h.at[placeOf{o.group, o.place}], o)
	h.inbox[receipt{o.group, o.inboxID}] = append(h.inbox[receipt{o.group, o.inboxID}], o)
}

// received returns what every group has received: the receipts of its inbox, and the events below its
// positions. A record that the group failed to handle counts by its receipt only: what could not be
// read has a receipt of its own, and does not make the event that it claims to be received.
func received(f Facts) map[receipt]bool {
	got := make(map[receipt]bool, len(f.Inbox))
	for _, row := range f.Inbox {
		got[receipt{row.Group, row.ID}] = true
	}
	next := reached(f)
	if len(next) == 0 {
		return got
	}
	failed := map[placeOf]bool{}
	for _, h := range hold(f).all {
		failed[placeOf{h.group, h.place}] = true
	}
	for _, g := range f.GivenUp {
		failed[placeOf{g.Group, g.Place}] = true
	}
	for _, reader := range readers() {
		for _, rec := range f.Records {
			if rec.Offset < next[partitionOf{reader.group, partition{rec.Topic, rec.Partition}}] &&
				reader.takes(rec.Type, rec.Style) && sound(rec) && !failed[placeOf{reader.group, rec.Place()}] {
				got[receipt{reader.group, rec.ID}] = true
			}
		}
	}
	return got
}
