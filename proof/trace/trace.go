// Package trace checks the orders of a real shop against the model of package shop: what an order has
// left on the topics must be what some run of the model leaves there. So every run of the real programs
// tests the model, too, and every order that does what no table allows is found, whatever the other
// invariants think of it.
//
// An order is not compared when an operator decided about a record of it, because the model has no
// operator who throws records away; when it has a record that was planted, which no service writes; and
// when it has more records than the model has room for. Of the answers to one command, one is compared: a
// command that is read again, after the inbox has forgotten it, is answered again, as often as that happens.
package trace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/proof/shop"
)

// invariant is that of package verify to which the findings are added.
const invariant = "I12"

// Checker compares orders with the model. It remembers histories, of which most orders have one of a
// few. The zero value is not usable; use [New]. It is not safe for concurrent use.
type Checker struct {
	model *shop.Model
	known map[string]string // history → what no run explains
	odd   map[string]bool   // histories that cannot be compared
}

// New returns a checker that has the tables of the services.
func New() *Checker {
	return &Checker{model: shop.New(shop.Real(), shop.Rules{}), known: map[string]string{}, odd: map[string]bool{}}
}

// Check checks every invariant as [verify.Check] does, and each order's history as a part of I12.
func (c *Checker) Check(f verify.Facts) []verify.Finding {
	findings := verify.Check(f)
	i := slices.IndexFunc(findings, func(r verify.Finding) bool { return r.Invariant == invariant })
	if i < 0 || findings[i].NotChecked {
		return findings
	}
	r := &findings[i]
	histories, decided := historiesOf(f), exempt(f)
	compared := 0
	for _, order := range slices.Sorted(maps.Keys(histories)) {
		if decided[order] {
			continue
		}
		unexplained, ok := c.explain(*histories[order])
		if !ok {
			continue
		}
		compared++
		if unexplained != "" {
			r.Breaches = append(r.Breaches, fmt.Sprintf("order %s (%s) did what the model cannot do: %s", order, histories[order].Style, unexplained))
		}
	}
	r.Counted += fmt.Sprintf(", %d histories are compared with the model", compared)
	return findings
}

// explain returns what no run of the model explains of a history, or "". ok is false when the history
// cannot be compared.
func (c *Checker) explain(h shop.History) (unexplained string, ok bool) {
	key := fmt.Sprint(h.Style, h.Definition, h.Topic) // maps are printed in the order of their keys
	if c.odd[key] {
		return "", false
	}
	if known, ok := c.known[key]; ok {
		return known, true
	}
	unexplained, err := c.model.Trace(h)
	if err != nil {
		c.odd[key] = true
		return "", false
	}
	c.known[key] = unexplained
	return unexplained, true
}

// historiesOf returns what each order has left on the topics: of each event of an outbox the first
// record, which is on its key's partition.
func historiesOf(f verify.Facts) map[string]*shop.History {
	type place struct {
		id    uuid.UUID
		topic string
	}
	sent := map[place]string{} // order
	for _, row := range f.Outbox {
		if !row.Raw {
			sent[place{row.ID, row.Topic}] = row.AggregateID
		}
	}
	type asked struct{ order, topic, command string }
	answered := map[asked]bool{}
	histories := map[string]*shop.History{}
	for _, rec := range f.Records {
		name := nameOf(rec)
		at := place{rec.ID, rec.Topic}
		if order, ours := sent[at]; rec.Strayed || name == "" || !ours || order != rec.Key {
			continue
		}
		delete(sent, at) // a copy comes later
		if of := (asked{rec.Key, rec.Topic, rec.Causation}); rec.Causation != "" {
			if _, _, answer := verify.AnswerOf(rec.Event); answer && answered[of] {
				continue
			}
			answered[of] = true
		}
		h := histories[rec.Key]
		if h == nil {
			h = &shop.History{Topic: map[string][]string{}}
			histories[rec.Key] = h
		}
		if rec.Style == event.Orchestrated {
			h.Style = shop.Orchestrated
		}
		h.Topic[rec.Topic] = append(h.Topic[rec.Topic], name)
	}
	for _, s := range f.Sagas {
		if h := histories[s.OrderID]; h != nil && h.Style == shop.Orchestrated {
			h.Definition = s.Definition
		}
	}
	maps.DeleteFunc(histories, func(_ string, h *shop.History) bool { return len(h.Topic["order.events"]) == 0 })
	return histories
}

// nameOf returns the name of a record in the model, or "" when the model has no such topic.
func nameOf(rec verify.Record) string {
	if _, commands := events.IsCommands(rec.Topic); !commands && !strings.HasSuffix(rec.Topic, ".events") {
		return ""
	}
	if command, outcome, ok := verify.AnswerOf(rec.Event); ok {
		return command + ": " + outcome
	}
	return rec.Type
}

// exempt returns the orders that an operator decided about, or still has to, in any group, and those with
// a planted record: an outbox has its aggregate's type from whoever appended it.
func exempt(f verify.Facts) map[string]bool {
	orders := map[string]bool{}
	for _, row := range f.Outbox {
		if t, known := events.Catalogue().Lookup(row.Type); !row.Raw && known && row.AggregateType != t.AggregateType {
			orders[row.AggregateID] = true
		}
	}
	for _, l := range f.DeadLetters {
		orders[l.Key] = true
	}
	for _, g := range f.GivenUp {
		orders[g.Key] = true
	}
	for _, k := range f.ParkedKeys {
		orders[k.Key] = true
	}
	return orders
}
