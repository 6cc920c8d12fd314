// Package faults breaks a running shop on purpose, one fault after the other, and tells
// what became of it: what was done, what was seen, whether the invariants hold.
//
// Every fault acts from outside, on the real programs: signals, fault rules of the
// simulated gateway and carrier, of the embedded registry and broker, triggers, locks and
// missing privileges in the services' databases, records on the topics. Orders come in
// meanwhile. Each fault takes back what it did, also when it failed, so that the next one
// finds a healthy shop.
//
// An expectation that is not met is a failure of the fault and does not end the run; only
// the end of the context does. The shop must be one of its own (see [Settings]): the
// checks look at everything in it.
package faults

import (
	"context"
	"time"

	"eventshop.example/cmd/shop/internal/verify"
)

// Fault is one row of the table.
type Fault struct {
	Name   string // unique; what --only takes
	Family string
	Done   string // what is done
	Expect string // what the shop has to make of it

	run func(ctx context.Context, t *trial) error
}

// Table lists all faults, in the order in which they are injected.
func Table() []Fault {
	var all []Fault
	for _, family := range [][]Fault{
		unknownOutcomes(), forGood(), handlers(), poison(), oddRecords(), decisions(), replays(), processes(), replicas(),
		infrastructure(), databaseRefuses(), brokerRefuses(), registryRefuses(),
	} {
		all = append(all, family...)
	}
	return all
}

// Figures are what was counted between the beginning of a fault and its end. Numbers are
// of the whole shop, the orders of the load included.
type Figures struct {
	Orders      int            `json:"orders"` // placed
	Ended       map[string]int `json:"ended"`  // by status
	Duplicates  int            `json:"duplicates"`
	Retries     int            `json:"retries"`     // records written to the retry topics
	DeadLetters int            `json:"deadLetters"` // records written to the dead-letter topics
	Opened      int            `json:"breakerOpened"`
	// Recovered is the time from the end of the fault until the saga of every order that
	// had been placed by then was decided: confirmed, or cancelled.
	Recovered time.Duration `json:"-"`
}

// Result is how one fault went.
type Result struct {
	Fault    Fault
	Figures  Figures
	Seen     []string // worth telling, beside the figures
	Failures []string // expectations that were not met, and what could not be done
	Findings []verify.Finding
	Took     time.Duration
}

// OK tells whether everything was as expected and the invariants, which were checked, hold.
func (r Result) OK() bool {
	return len(r.Failures) == 0 && len(r.Findings) > 0 && len(r.Broken()) == 0
}

// Broken lists the invariants that do not hold.
func (r Result) Broken() []verify.Finding {
	var broken []verify.Finding
	for _, f := range r.Findings {
		if !f.OK() {
			broken = append(broken, f)
		}
	}
	return broken
}

// Sizes are what differs between the short form, for a build machine, and the full one.
type Sizes struct {
	PerSecond int           // orders placed meanwhile
	Own       int           // orders that the fault is about
	Hold      time.Duration // for which an outage goes on after everybody has noticed it
}

// Short is the form that a build machine runs in some minutes.
func Short() Sizes { return Sizes{PerSecond: 6, Own: 3, Hold: time.Second} }

// Full has more load and longer outages.
func Full() Sizes { return Sizes{PerSecond: 12, Own: 8, Hold: 8 * time.Second} }

const (
	callTimeout = 500 * time.Millisecond // of one request to the gateway or the carrier
	openFor     = time.Second            // of a circuit breaker
	attempts    = 4                      // of a record whose handling fails
)

// Settings are those of a shop in which everything that is tried again by itself is tried
// again soon, and given up soon. Each is a setting of production with a smaller value.
func Settings() map[string]map[string]string {
	env := map[string]map[string]string{
		"carrier": {"DISPATCH_AFTER": "150ms", "DELIVER_AFTER": "100ms"},
	}
	for _, service := range services() {
		env[service] = map[string]string{
			"RETRY_ATTEMPTS": "4", "RETRY_BACKOFF_BASE": "100ms", "RETRY_BACKOFF_MAX": "1s", "SCHEMA_GRACE": "2s",
		}
	}
	set := func(service string, pairs ...string) {
		for i := 0; i+1 < len(pairs); i += 2 {
			env[service][pairs[i]] = pairs[i+1]
		}
	}
	set("order", "SNAPSHOT_EVERY", "3") // so that every order is loaded from a snapshot and a tail
	set("payment", "GATEWAY_TIMEOUT", callTimeout.String(), "GATEWAY_BREAKER_OPEN_FOR", openFor.String(),
		"GATEWAY_BREAKER_WINDOW", "5s",
		"REFUND_MAX_ATTEMPTS", "6", "REFUND_BACKOFF_BASE", "100ms", "REFUND_BACKOFF_MAX", "1s", "REFUND_DEADLINE", "20s")
	set("shipping", "CARRIER_TIMEOUT", callTimeout.String(), "CARRIER_BREAKER_OPEN_FOR", openFor.String(),
		"CARRIER_BREAKER_WINDOW", "5s", "TRACK_EVERY", "50ms")
	return env
}
