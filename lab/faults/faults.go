// Package faults injects faults into a running shop, one after the other. It reports what it did,
// what it saw, and whether the invariants hold.
//
// Every fault acts from outside, on the real programs: signals; fault rules of the simulated
// external systems, of the embedded registry and of the embedded broker; triggers, locks and
// missing privileges in the services' databases; records on the topics. Orders are placed
// meanwhile. Each fault is undone, also when it failed, so that the next one starts with a healthy
// shop.
//
// An expectation that is not met is a failure of the fault and does not end the run; only the end
// of the context does. Use a shop of its own (see [Settings]): the checks read everything in it.
package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/verify"
)

// Fault is an entry of the table.
type Fault struct {
	Name   string // unique; the argument of --only
	Family string
	Done   string // what the fault does
	Expect string // how the shop has to react

	run func(ctx context.Context, t *trial) error
}

// Table returns all faults, in the order in which they are injected.
func Table() []Fault {
	var all []Fault
	for _, family := range [][]Fault{
		unknownOutcomes(), forGood(), handlers(), poison(), oddRecords(), decisions(), replays(), processes(), replicas(),
		mails(), infrastructure(), databaseRefuses(), brokerRefuses(), registryRefuses(),
	} {
		all = append(all, family...)
	}
	return all
}

// Figures are counts between the beginning and the end of a fault. They cover the whole shop,
// including the orders of the load.
type Figures struct {
	Orders      int            `json:"orders"` // placed
	Ended       map[string]int `json:"ended"`  // by status
	Duplicates  int            `json:"duplicates"`
	Retries     int            `json:"retries"`     // records written to the retry topics
	DeadLetters int            `json:"deadLetters"` // records written to the dead-letter topics
	Opened      int            `json:"breakerOpened"`
	// Recovered is the time from the end of the fault until the saga of every order placed by then
	// was decided: confirmed or cancelled.
	Recovered time.Duration `json:"-"`
}

// Result is the result of one fault.
type Result struct {
	Fault    Fault
	Figures  Figures
	Seen     []string // observations, beside the figures
	Failures []string // expectations that were not met, and steps that failed
	Findings []verify.Finding
	Took     time.Duration
}

// OK reports whether all expectations were met and the invariants were checked and hold.
func (r Result) OK() bool {
	return len(r.Failures) == 0 && len(r.Findings) > 0 && len(r.Broken()) == 0
}

// Broken returns the invariants that do not hold. An invariant that could not be checked counts as
// a failure of the fault instead.
func (r Result) Broken() []verify.Finding {
	var broken []verify.Finding
	for _, f := range r.Findings {
		if len(f.Breaches) > 0 {
			broken = append(broken, f)
		}
	}
	return broken
}

// Verdict summarizes the invariants: "ok", "BREACH" with the broken ones, "not checked in full" or
// "not run".
func (r Result) Verdict() string {
	if len(r.Findings) == 0 {
		return "not run"
	}
	var broken []string
	for _, f := range r.Broken() {
		broken = append(broken, f.Invariant)
	}
	if len(broken) > 0 {
		return "BREACH " + strings.Join(broken, ", ")
	}
	for _, f := range r.Findings {
		if f.NotChecked {
			return "not checked in full"
		}
	}
	return "ok"
}

// Summary returns the last line: how many faults went as expected, how many did not.
func Summary(results []Result, took time.Duration) (line string, ok bool) {
	good := 0
	for _, r := range results {
		if r.OK() {
			good++
		}
	}
	return fmt.Sprintf("faults: %d as expected, %d not, in %d s", good, len(results)-good, int(took.Seconds())), good == len(results)
}

// Sizes are the differences between the short form, for a build machine, and the full form.
type Sizes struct {
	PerSecond int           // orders placed during the fault
	Own       int           // orders that the fault acts on
	Hold      time.Duration // how long an outage continues after every process has noticed it
}

// Short returns the sizes of the form that a build machine runs in some minutes.
func Short() Sizes { return Sizes{PerSecond: 6, Own: 3, Hold: time.Second} }

// Full returns the sizes with more load and longer outages.
func Full() Sizes { return Sizes{PerSecond: 12, Own: 8, Hold: 8 * time.Second} }

const (
	callTimeout = 500 * time.Millisecond // of one request to another system or service
	openFor     = time.Second            // of a circuit breaker
	attempts    = 4                      // of a record whose handling fails
)

// Settings are those of a shop whose automatic retries come soon and end soon. Each is a production
// setting with a smaller value.
func Settings() map[string]map[string]string {
	env := map[string]map[string]string{
		"carrier": {"DISPATCH_AFTER": "150ms", "DELIVER_AFTER": "100ms"},
	}
	for _, service := range eventshop.Services() {
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
	set("notification", "ORDER_TIMEOUT", callTimeout.String(), "ORDER_BREAKER_OPEN_FOR", openFor.String(), "ORDER_BREAKER_WINDOW", "5s",
		"MAILBOX_TIMEOUT", callTimeout.String(), "MAILBOX_BREAKER_OPEN_FOR", openFor.String(), "MAILBOX_BREAKER_WINDOW", "5s",
		"SEND_BACKOFF_BASE", "100ms", "SEND_BACKOFF_MAX", "1s")
	return env
}
