package verify

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"eventshop.example/pkg/retry"
)

// holder is what has a failed record in one group: the retry record at the head of its
// key, the row that waits behind a head, or the dead letter. A dead letter that was
// resubmitted is one holder, wherever it waits.
type holder struct {
	group, key string
	place      Place
	inboxID    uuid.UUID
	state      string // "retrying", or a dead letter's "open", "resolved", "discarded"
	what       string // for people
	letter     *DeadLetter
}

// held finds the holders, the retry records and the dead letters.
type held struct {
	all     []holder
	at      map[placeOf][]holder
	inbox   map[receipt][]holder
	retries map[uuid.UUID]Retry
	letters map[uuid.UUID]*DeadLetter
	lanes   map[lane]ParkedKey
}

type placeOf struct {
	group string
	place Place
}

type receipt struct {
	group string
	id    uuid.UUID
}

// lane is what order is kept by: a key of a topic, in a group. The tables of what is parked
// have long keys as hashes; dead letters and retry records have them as they came.
type lane struct{ group, topic, key string }

// laneOf is the lane of a record with that key.
func laneOf(group, topic, key string) lane {
	return lane{group, topic, retry.KeyOf(topic, []byte(key)).Key}
}

func hold(f Facts) held {
	h := held{
		at: map[placeOf][]holder{}, inbox: map[receipt][]holder{},
		retries: map[uuid.UUID]Retry{}, letters: map[uuid.UUID]*DeadLetter{}, lanes: map[lane]ParkedKey{},
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
		h.add(holder{l.Group, l.Key, l.Place, l.InboxID, state, fmt.Sprintf("dead letter %s (%s)", l.ID, l.Status), l})
	}
	for _, k := range f.ParkedKeys {
		h.lanes[lane{k.Group, k.Topic, k.Key}] = k
		r, ok := h.retries[k.Head]
		if k.State == "retrying" && ok && !r.Skip && r.DeadLetter == uuid.Nil {
			h.add(holder{k.Group, k.Key, r.Place, r.InboxID, "retrying", fmt.Sprintf("retry %s", k.Head), nil})
		}
	}
	for _, p := range f.ParkedRecords {
		if p.DeadLetter == uuid.Nil {
			h.add(holder{p.Group, p.Key, p.Place, p.InboxID, "retrying", fmt.Sprintf("parked record %d", p.Position), nil})
		}
	}
	return h
}

func (h *held) add(o holder) {
	h.all = append(h.all, o)
	h.at[placeOf{o.group, o.place}] = append(h.at[placeOf{o.group, o.place}], o)
	h.inbox[receipt{o.group, o.inboxID}] = append(h.inbox[receipt{o.group, o.inboxID}], o)
}

// received returns every receipt of the inboxes.
func received(f Facts) map[receipt]bool {
	got := make(map[receipt]bool, len(f.Inbox))
	for _, row := range f.Inbox {
		got[receipt{row.Group, row.ID}] = true
	}
	return got
}

// shown is a record's key as people can read it: strangers' keys are any bytes.
func shown(key string) string {
	if key == "" || !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", key)
	}
	return key
}
