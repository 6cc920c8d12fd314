package cli

import (
	"slices"
	"strings"
	"time"

	"eventshop.example/ops/saga"
)

// holdsOf describes what holds an order: one text per reason, for any number of groups.
func holdsOf(holds []saga.Hold, now time.Time) []string {
	var out []string
	for _, h := range grouped(holds) {
		out = append(out, hold(h, now))
	}
	return out
}

// grouped merges the holds that have the same reason. A merged hold lists the groups, ids, types
// and topics, and has the earliest next attempt and the highest number of attempts. Holds without a
// reason are merged if they differ only in the group.
func grouped(holds []saga.Hold) []saga.Hold {
	type reason struct{ kind, detail, text string }
	var out []saga.Hold
	at := map[reason]int{}
	for _, h := range holds {
		r := reason{kind: h.Kind, detail: h.Detail}
		if h.ID != "" {
			r.text = "id" // waiting behind a dead letter is another reason than being retried
		}
		if h.Detail == "" || h.Kind == saga.BreakerOpen || h.Kind == saga.CallsFail || h.Kind == saga.Returning {
			r.text += " " + h.Type
		}
		i, known := at[r]
		if !known {
			at[r] = len(out)
			out = append(out, h)
			continue
		}
		one := &out[i]
		one.Group, one.ID = joined(one.Group, h.Group), joined(one.ID, h.ID)
		one.Type, one.Topic = joined(one.Type, h.Type), joined(one.Topic, h.Topic)
		one.Attempts = max(one.Attempts, h.Attempts)
		if h.Next != nil && (one.Next == nil || h.Next.Before(*one.Next)) {
			one.Next = h.Next
		}
	}
	return out
}

// separator stands between the members of a list.
const separator = ", "

// joined adds a word to a list unless the list has it.
func joined(list, word string) string {
	if word == "" || slices.Contains(strings.Split(list, separator), word) {
		return list
	}
	if list == "" {
		return word
	}
	return list + separator + word
}

// several reports whether a list has more than one member.
func several(list string) bool { return strings.Contains(list, separator) }
