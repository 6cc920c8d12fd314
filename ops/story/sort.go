package story

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
)

// arrange sorts and numbers the events and sets the cause of each. An effect never precedes its
// cause, and an event never precedes an earlier version of the same aggregate on its topic.
// Otherwise the earlier event is first. Only foreign records can have circular causes; arrange cuts
// a circle at its earliest event.
func arrange(list []Event) []Event {
	slices.SortStableFunc(list, earlier)
	byID := map[string]int{}
	for i, e := range list {
		if _, taken := byID[e.ID]; !taken && e.ID != "" && e.Problem == "" {
			byID[e.ID] = i
		}
	}
	after := make([][]int, len(list)) // the events that come after each
	waits := make([]int, len(list))   // the number of events that come before each
	before := func(a, b int) {
		if a != b {
			after[a] = append(after[a], b)
			waits[b]++
		}
	}
	for i, e := range list {
		if cause, ok := byID[e.causation]; ok && e.causation != e.ID {
			before(cause, i)
		}
	}
	for a, b := range neighbours(list) {
		before(a, b)
	}
	order := make([]int, 0, len(list))
	place := make([]int, len(list)) // from 1
	ready := &lowest{}
	for i, n := range waits {
		if n == 0 {
			heap.Push(ready, i)
		}
	}
	for next := 0; len(order) < len(list); {
		if ready.Len() == 0 { // a circle
			for place[next] > 0 || waits[next] == 0 {
				next++
			}
			waits[next] = 0
			heap.Push(ready, next)
		}
		i := heap.Pop(ready).(int)
		order = append(order, i)
		place[i] = len(order)
		for _, b := range after[i] {
			if waits[b]--; waits[b] == 0 && place[b] == 0 {
				heap.Push(ready, b)
			}
		}
	}
	out := make([]Event, len(list))
	for n, i := range order {
		e := list[i]
		e.N = n + 1
		e.Cause = Cause{Kind: ByUnknown, ID: e.causation}
		cause, known := byID[e.causation]
		switch {
		case e.causation == "":
			e.Cause.Kind = ByNone
		case e.causation == e.ID:
			e.Cause = Cause{Kind: ByOutside, Type: outside(fact(list, e))}
		case !isID(e.causation): // such as the number of the carrier's update
			e.Cause = Cause{Kind: ByOutside, Type: outside(e), ID: e.causation}
		case known:
			e.Cause = Cause{Kind: ByEvent, N: place[cause], ID: e.causation, Type: list[cause].Type}
			ms := float64(e.At.Sub(list[cause].At).Microseconds()) / 1000
			e.DelayMS = &ms
		}
		out[n] = e
	}
	return out
}

func earlier(a, b Event) int {
	if c := a.At.Compare(b.At); c != 0 {
		return c
	}
	if c := a.recorded.Compare(b.recorded); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Topic, b.Topic))
}

// neighbours yields each event with the next one of its aggregate on its topic, by version.
func neighbours(list []Event) func(yield func(a, b int) bool) {
	byTopic := map[string][]int{}
	for i, e := range list {
		if e.Version > 0 && e.Problem == "" {
			byTopic[e.Topic] = append(byTopic[e.Topic], i)
		}
	}
	return func(yield func(a, b int) bool) {
		for _, of := range byTopic {
			slices.SortStableFunc(of, func(a, b int) int { return cmp.Compare(list[a].Version, list[b].Version) })
			for i := 1; i < len(of); i++ {
				if !yield(of[i-1], of[i]) {
					return
				}
			}
		}
	}
}

// fact returns the event that a snapshot was taken of. Both have the same cause.
func fact(list []Event, e Event) Event {
	if e.Topic == events.TopicOrderSnapshots {
		for _, of := range list {
			if of.Topic == events.TopicOrderEvents && of.Version == e.Version && of.Problem == "" {
				return of
			}
		}
	}
	return e
}

// isID reports whether a text can be the id of an event.
func isID(text string) bool {
	_, err := uuid.Parse(text)
	return err == nil
}

// outside names the cause of an event that no other event caused.
func outside(e Event) string {
	switch {
	case e.Service == "shipping":
		return "carrier"
	case e.field("reason") == "deadline":
		return "deadline"
	case e.Service == "orchestrator":
		return Operator // who had a command sent again
	case e.Service == "order":
		return "request"
	}
	return "outside"
}

// lowest is a heap of numbers.
type lowest []int

func (h lowest) Len() int           { return len(h) }
func (h lowest) Less(i, j int) bool { return h[i] < h[j] }
func (h lowest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop implement [heap.Interface].
func (h *lowest) Push(x any) { *h = append(*h, x.(int)) }

// Pop removes the last number.
func (h *lowest) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
