package verify

import (
	"github.com/google/uuid"

	"eventshop.example/pkg/event"
)

// checkParkedKeys checks that the head of each parked key exists: without it, the key would wait for
// ever.
func (s *settlement) checkParkedKeys() {
	for _, k := range s.ParkedKeys {
		key := shown(k.Key)
		if k.State == "dead" {
			switch l := s.letters[k.Head]; {
			case l == nil || l.Group != k.Group:
				s.finding.breach("order %s: %s of group %s waits for dead letter %s, which does not exist", key, k.Topic, k.Group, k.Head)
			case l.Status != "open":
				s.finding.breach("order %s: %s of group %s waits for a decision about dead letter %s, which is %s", key, k.Topic, k.Group, l.ID, l.Status)
			}
			continue
		}
		topic := event.RetryTopic(k.Topic, k.Group).Name
		r, ok := s.retries[k.Head]
		switch {
		case !ok:
			s.finding.breach("order %s: retry %s of group %s is neither on %s nor in the outbox", key, k.Head, k.Group, topic)
		case r.Group != k.Group || r.Topic != topic || r.Place.Topic != k.Topic || parkedKeyOf(k.Group, k.Topic, r.Key).key != k.Key:
			s.finding.breach("order %s: %s of group %s waits for retry %s, which is of %s on %s for group %s",
				key, k.Topic, k.Group, k.Head, shown(r.Key), r.Topic, r.Group)
		case r.DeadLetter != uuid.Nil:
			want := "resubmitted"
			if r.Skip {
				want = "discarded"
			}
			if l := s.letters[r.DeadLetter]; l == nil || l.Status != want {
				s.finding.breach("order %s: %s of group %s waits for dead letter %s, which is not %s", key, k.Topic, k.Group, r.DeadLetter, want)
			}
		}
	}
}

// parkedRecords checks that each record waits behind a head, was received, and is in order.
func (s *settlement) parkedRecords() {
	last := map[parkedKey]ParkedRecord{}
	for _, p := range s.ParkedRecords {
		key, at := shown(p.Key), parkedKey{p.Group, p.Place.Topic, p.Key}
		if _, ok := s.parkedKeys[at]; !ok {
			s.finding.breach("order %s: parked record %d of group %s waits, and its key is not parked", key, p.Position, p.Group)
		}
		if p.DeadLetter != uuid.Nil {
			if l := s.letters[p.DeadLetter]; l == nil || l.Status != "resubmitted" {
				s.finding.breach("order %s: parked record %d of group %s is dead letter %s, which is not resubmitted", key, p.Position, p.Group, p.DeadLetter)
			}
			continue // a resubmitted one is handled in its turn, wherever it was
		}
		if !s.inbox[receipt{p.Group, p.InboxID}] && !s.old(p.ArrivedAt) {
			s.finding.breach("order %s: parked record %d of group %s has no receipt %s", key, p.Position, p.Group, p.InboxID)
		}
		before, ok := last[at]
		if ok && before.Place.Partition == p.Place.Partition && before.Place.Offset > p.Place.Offset && before.Place.Millis >= p.Place.Millis {
			s.finding.breach("order %s: group %s has %s parked behind %s", key, p.Group, p.Place, before.Place)
		}
		last[at] = p
	}
}

// deadLetters checks that each dead letter matches the topics and waits where its status requires.
func (s *settlement) deadLetters() {
	copies := map[uuid.UUID][]Copy{}
	for _, c := range s.Copies {
		copies[c.ID] = append(copies[c.ID], c)
		l, topic := s.letters[c.ID], ""
		if l != nil {
			topic = event.DeadLetterTopic(l.Place.Topic, l.Group).Name
		}
		switch {
		case l == nil && !s.old(c.Time):
			s.finding.breach("order %s: dead letter %s on %s is in no table", shown(c.Key), c.ID, c.Topic)
		case l != nil && (c.Topic != topic || c.Group != l.Group):
			s.finding.breach("order %s: dead letter %s on %s belongs on %s", shown(l.Key), c.ID, c.Topic, topic)
		}
	}
	turns := s.turns()
	for i := range s.DeadLetters {
		l := &s.DeadLetters[i]
		s.copied(l, copies[l.ID])
		s.waiting(l, turns[l.ID])
	}
}

// turns counts the places where resubmitted dead letters wait: at the head of a key, or behind one.
func (s *settlement) turns() map[uuid.UUID]int {
	n := map[uuid.UUID]int{}
	for _, k := range s.ParkedKeys {
		if r := s.retries[k.Head]; k.State == "retrying" && r.DeadLetter != uuid.Nil && !r.Skip {
			n[r.DeadLetter]++
		}
	}
	for _, p := range s.ParkedRecords {
		if p.DeadLetter != uuid.Nil {
			n[p.DeadLetter]++
		}
	}
	return n
}

// copied checks that a dead letter equals its original record, and that its copies equal it.
func (s *settlement) copied(l *DeadLetter, copies []Copy) {
	key := shown(l.Key)
	if original, ok := s.sums[l.Place]; ok && original != l.Sum {
		s.finding.breach("order %s: dead letter %s of group %s is not what lies at %s", key, l.ID, l.Group, l.Place)
	}
	if s.old(l.CreatedAt) {
		return // the original may have expired from the topic
	}
	if len(copies) == 0 {
		s.finding.breach("order %s: dead letter %s is neither on %s nor in the outbox",
			key, l.ID, event.DeadLetterTopic(l.Place.Topic, l.Group).Name)
		return
	}
	faithful, other := false, false
	for _, c := range copies {
		faithful = faithful || c.Omitted || c.Sum == l.Sum
		other = other || !c.Omitted && c.Sum != l.Sum
	}
	// A record that failed again after an edit is copied as edited.
	if !faithful || other && l.Repaired == nil {
		s.finding.breach("order %s: dead letter %s is not on %s as it came", key, l.ID, copies[0].Topic)
	}
}

// waiting checks that a dead letter waits where its status requires, and nowhere else.
func (s *settlement) waiting(l *DeadLetter, turns int) {
	k, parked := s.parkedKeys[parkedKeyOf(l.Group, l.Place.Topic, l.Key)]
	switch {
	case l.Status == "open" && l.Parks && !(parked && k.State == "dead" && k.Head == l.ID):
		s.finding.breach("order %s: dead letter %s of group %s is open, and its key does not wait for it", shown(l.Key), l.ID, l.Group)
	case l.Status == "resubmitted" && turns != 1:
		s.finding.breach("order %s: dead letter %s of group %s is resubmitted and waits in %d places", shown(l.Key), l.ID, l.Group, turns)
	case l.Status == "discarded" && reason(l) == "":
		s.finding.breach("order %s: dead letter %s of group %s is discarded without a reason", shown(l.Key), l.ID, l.Group)
	}
}

// reason returns why a dead letter was discarded.
func reason(l *DeadLetter) string {
	for _, a := range l.Actions {
		if a.Action == "discarded" {
			return a.Detail
		}
	}
	return ""
}
