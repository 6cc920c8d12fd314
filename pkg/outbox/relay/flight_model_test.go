package relay

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// modelKeys are the keys of the model; one shard has all of them.
var modelKeys = []string{"a", "b"}

// model is a table, a broker and two relays. Each relay may be frozen, may lose its lease and may
// lag in everything. The broker accepts a record, refuses it, or accepts it and loses the response.
type model struct {
	now       time.Time
	seq       int64
	key       map[int64]string
	published map[int64]bool
	topic     []int64 // what the broker has
	relays    [2]*modelRelay
}

type modelRelay struct {
	*flight
	looked *view // of a read in progress
	found  []*record
	sent   []*record // at the producer
}

func newModel() *model {
	m := &model{now: time.Unix(0, 0), key: map[int64]string{}, published: map[int64]bool{}}
	for i := range m.relays {
		m.relays[i] = &modelRelay{flight: newFlight()}
	}
	return m
}

// query selects the rows that readRows would select.
func (m *model) query(v *view) (found []*record) {
	if len(v.shards) == 0 || len(v.topics) > 0 {
		return nil
	}
	for seq := int64(1); seq <= m.seq; seq++ {
		held := slices.ContainsFunc(v.keys, func(key []byte) bool { return string(key) == m.key[seq] })
		if m.key[seq] == "" || m.published[seq] || held || slices.Contains(v.inFlight, seq) {
			continue
		}
		found = append(found, &record{seq: seq, id: uuid.New(), orderKey: orderKey{topic: "t", key: m.key[seq]}, size: 1, kafka: &kgo.Record{}})
	}
	return found
}

// check fails when the broker accepted a record before another one of its key with a lower number.
func (m *model) check(t *rapid.T) {
	last := map[string]int64{}
	seen := map[int64]bool{}
	for _, seq := range m.topic {
		for earlier := last[m.key[seq]] + 1; earlier < seq; earlier++ {
			if m.key[earlier] == m.key[seq] && !seen[earlier] {
				t.Fatalf("%d of key %s is at the broker before %d: %v", seq, m.key[seq], earlier, m.topic)
			}
		}
		seen[seq] = true
		last[m.key[seq]] = max(last[m.key[seq]], seq)
	}
	for seq := range m.published {
		if !seen[seq] {
			t.Fatalf("%d is marked and not at the broker", seq)
		}
	}
	for _, r := range m.relays {
		bytes, keys := 0, map[orderKey]bool{}
		for _, rec := range r.sent {
			if keys[rec.orderKey] {
				t.Fatalf("two records of key %s at one producer", rec.orderKey.key)
			}
			keys[rec.orderKey] = true
		}
		for _, queue := range r.queues {
			bytes += len(queue)
		}
		if r.flight.sent != len(r.sent) || r.bytes != bytes || len(r.queues) != len(keys) {
			t.Fatalf("counts %d at the producer and %d bytes, want %d and %d", r.flight.sent, r.bytes, len(r.sent), bytes)
		}
	}
}

// take removes one element of a list and returns it.
func take(t *rapid.T, list *[]*record) *record {
	i := rapid.IntRange(0, len(*list)-1).Draw(t, "which")
	r := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return r
}

// TestFlightKeepsOrderWhateverHappens tries sequences of all events that can happen to two relays
// of one shard.
func TestFlightKeepsOrderWhateverHappens(t *testing.T) {
	t.Parallel()
	const rounds = 20 // of a hundred sequences each: about a second
	for range rounds {
		rapid.Check(t, tryModel)
	}
}

func tryModel(t *rapid.T) {
	m := newModel()
	actions := map[string]func(r *modelRelay){
		"append": func(*modelRelay) {
			for range rapid.IntRange(1, 3).Draw(t, "rows") {
				m.seq++
				m.key[m.seq] = rapid.SampledFrom(modelKeys).Draw(t, "key")
			}
		},
		"read": func(r *modelRelay) {
			v := r.view(m.now, 100)
			r.looked, r.found = &v, m.query(&v)
		},
		"look": func(r *modelRelay) {
			v := r.view(m.now, 100)
			r.looked, r.found = &v, nil
		},
		"query": func(r *modelRelay) {
			if r.looked != nil {
				r.found = m.query(r.looked)
			}
		},
		"admit": func(r *modelRelay) {
			if r.looked == nil {
				return
			}
			if send, ok := r.admit(r.found, r.looked.generation, m.now); ok {
				r.sent = append(r.sent, send...)
			}
			r.looked, r.found = nil, nil
		},
		"take": func(r *modelRelay) {
			if len(r.sent) == 0 {
				return
			}
			rec := take(t, &r.sent)
			m.topic = append(m.topic, rec.seq)
			if next := r.acknowledged(rec, m.now); next != nil {
				r.sent = append(r.sent, next)
			}
		},
		"take, and lose the answer": func(r *modelRelay) { // the producer sends it again
			if len(r.sent) > 0 {
				m.topic = append(m.topic, rapid.SampledFrom(r.sent).Draw(t, "which").seq)
			}
		},
		"refuse": func(r *modelRelay) {
			if len(r.sent) > 0 {
				r.refused(take(t, &r.sent), errors.New("no"), rapid.Bool().Draw(t, "whole topic"), m.now)
			}
		},
		"abandon": func(r *modelRelay) { r.abandon(func(int16) bool { return true }) },
		"lead":    func(r *modelRelay) { r.setLeases([]int16{0}, m.now, m.now.Add(time.Second)) },
		"lose":    func(r *modelRelay) { r.setLeases(nil, m.now, m.now) },
		"wait": func(*modelRelay) {
			m.now = m.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "ms")) * time.Millisecond)
		},
		"mark": func(r *modelRelay) {
			batch := r.takeAcked(rapid.IntRange(1, 3).Draw(t, "n"))
			if rapid.Bool().Draw(t, "fails") {
				r.unmarked(batch)
				return
			}
			for _, rec := range batch {
				m.published[rec.seq] = true
			}
			r.marked(batch)
		},
	}
	names := slices.Sorted(maps.Keys(actions))
	for _, r := range m.relays {
		actions["lead"](r)
	}
	for range 100 {
		actions[rapid.SampledFrom(names).Draw(t, "action")](m.relays[rapid.IntRange(0, 1).Draw(t, "relay")])
		m.check(t)
	}
}
