package shop

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"eventshop.example/pkg/errs"
)

// History is what a real order has left on the topics: the names of its records per topic, in the
// topic's order, without copies. Commands and events are named by their types, and the answer to a command
// by the command and its outcome, such as "ChargePayment: unchanged". Topics of no participant are
// ignored.
type History struct {
	Style      Style
	Definition int // that an orchestrated order followed; 0: not known, and every one is tried
	Topic      map[string][]string
}

// mostSearched bounds the states of one search. A usual history needs some hundreds.
const mostSearched = 200_000

// Trace reports whether a run of the model leaves exactly these records behind. It returns "" when one
// does, and otherwise how far the best run comes and what it cannot explain. The error is of kind
// errs.Invalid for a history that a World has no room for, or that has an unknown record or definition, and
// of kind errs.Internal when the search was ended before it found an answer.
//
// Faults that leave no records are part of a run: lost answers, crashes, inboxes that forget. So are
// operators who repeat a command or begin new attempts to return money. What an operator discards is
// not: a service that never handled a record can leave anything behind.
func (m *Model) Trace(h History) (unexplained string, err error) {
	want, err := m.expected(h)
	if err != nil {
		return "", err
	}
	if h.Definition < 0 || h.Definition > len(m.released) {
		return "", errs.New(errs.Invalid, "the model has no definition %d", h.Definition)
	}
	spent := min(want.count(m.fact("PaymentRefundFailed")), 2)
	retries := uint8(0)
	for f := range m.facts {
		if m.commands&(1<<f) != 0 {
			retries = max(retries, want.count(uint8(f)))
		}
	}
	retries = min(max(retries, 1)-1, 3)
	// Each search has more faults than the one before it. The first explains nearly every order. What is
	// reported is the run that comes farthest.
	farthest := -2
	for _, bounds := range []Bounds{
		{Spent: spent, Retries: retries},
		{Spent: spent, Retries: retries, Lost: 1},
		{Spent: spent, Retries: retries, Lost: 2, Crashes: 1, Forgotten: 1},
	} {
		for _, how := range m.candidates(h) {
			text, explained, err := m.search(want, bounds, how)
			if err != nil || text == "" {
				return "", err
			}
			if explained > farthest {
				unexplained, farthest = text, explained
			}
		}
	}
	return unexplained, nil
}

// candidates returns the ways in which the saga of a history may have been coordinated.
func (m *Model) candidates(h History) []Coordination {
	if h.Style == Choreographed || h.Definition > 0 {
		return []Coordination{{h.Style, h.Definition}}
	}
	var all []Coordination
	for _, d := range m.released {
		all = append(all, Coordination{h.Style, d.Version})
	}
	return all
}

// expectation is a history by numbers.
type expectation struct {
	facts  [topics][]uint8
	prefix [topics][][maxFacts]uint8 // how often each fact is among the first n of a topic
	total  int
}

// count returns how often a history has a fact.
func (e *expectation) count(fact uint8) uint8 {
	n := uint8(0)
	for _, prefix := range e.prefix {
		n += prefix[len(prefix)-1][fact]
	}
	return n
}

// expected reads a history.
func (m *Model) expected(h History) (*expectation, error) {
	e := &expectation{}
	for topic := range topics {
		counts := [maxFacts]uint8{}
		e.prefix[topic] = [][maxFacts]uint8{counts}
		for _, name := range h.Topic[topicName(topic)] {
			f := slices.Index(m.facts, name)
			switch {
			case f < 0 || int(m.topic[f]) != topic:
				return nil, errs.New(errs.Invalid, "the model has no %s on %s", name, topicName(topic))
			case counts[f] == 3:
				return nil, errs.New(errs.Invalid, "%s more often than the model can count", name)
			}
			counts[f]++
			e.facts[topic], e.prefix[topic] = append(e.facts[topic], uint8(f)), append(e.prefix[topic], counts)
		}
		if len(e.facts[topic]) > maxLog {
			return nil, errs.New(errs.Invalid, "%s has more records than the model has room for", topicName(topic))
		}
		e.total += len(e.facts[topic])
	}
	return e, nil
}

// topicName returns the name of a topic of a World.
func topicName(topic int) string {
	return names[topic%services] + []string{".events", ".commands", ".compensations"}[topic/services]
}

// reached returns how many records of each topic a world has, and their sum. ok is false when they are
// not the first ones of the history.
func (m *Model) reached(e *expectation, s *saga) (at [topics]int, sum int, ok bool) {
	for f, n := range s.emitted[:len(m.facts)] {
		at[m.topic[f]] += int(n)
	}
	for topic, n := range at {
		if n > len(e.facts[topic]) {
			return at, 0, false
		}
		sum += n
	}
	for f, n := range s.emitted[:len(m.facts)] {
		if e.prefix[m.topic[f]][at[m.topic[f]]][f] != n {
			return at, 0, false
		}
	}
	return at, sum, true
}

// search goes depth first through the worlds that have left a beginning of the history behind. It returns
// how many records the best run explains, or -1.
func (m *Model) search(e *expectation, bounds Bounds, how Coordination) (unexplained string, explained int, err error) {
	sys := m.System([]Coordination{how}, bounds, 1, 0)
	stack := slices.Clone(sys.Starts)
	known := map[[16]byte]bool{}
	best, bestAt := -1, [topics]int{}
	var steps []step
	var buf []byte
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		at, sum, ok := m.reached(e, &w.sagas[0])
		if !ok {
			continue
		}
		if sum == e.total {
			return "", sum, nil
		}
		buf = encode(buf[:0], w)
		hash := sha256.Sum256(buf)
		if key := [16]byte(hash[:16]); known[key] {
			continue
		} else if known[key] = true; len(known) > mostSearched {
			return "", best, errs.New(errs.Internal, "no answer after %d states", mostSearched)
		}
		if sum > best {
			best, bestAt = sum, at
		}
		steps = sys.Steps(w, steps[:0])
		// What the system does by itself is looked at first.
		slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(bits(a.Progress), bits(b.Progress)) })
		for _, s := range steps {
			stack = append(stack, s.To)
		}
	}
	return m.describe(e, best, bestAt), best, nil
}

// describe says how far the best run comes.
func (m *Model) describe(e *expectation, best int, at [topics]int) string {
	if best < 0 {
		return "not even its first record can be explained"
	}
	var next []string
	for topic, n := range at {
		if n < len(e.facts[topic]) {
			next = append(next, fmt.Sprintf("%s on %s", m.facts[e.facts[topic][n]], topicName(topic)))
		}
	}
	return fmt.Sprintf("%d of %d records can be explained; then neither the model nor a fault leads to %s", best, e.total, strings.Join(next, ", or "))
}
