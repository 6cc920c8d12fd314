package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/retry"
)

// A reaction loads the parcel's state, decides, and saves it together with the event that follows
// from it. Its inbox row, its state and the event commit together.
func ExampleOn() {
	site, end := newSite()
	defer end()
	m := site.model(func(status string, s reaction.Step[string]) (reaction.Decision[string], error) {
		d := reaction.Decision[string]{State: s.Input, Changed: true, Committed: site.says(fmt.Sprintf("%q is now %q", status, s.Input))}
		if status == "" {
			d.Events = []outbox.Entry{{Event: sample.ParcelNoted{ParcelID: s.Key, OccurredAt: s.At}, Version: 1, Cause: s.Cause}}
		}
		return d, nil
	})
	stop := site.consume(
		consumer.On(m, func(e consumer.Event[sample.ParcelAccepted]) string { return "accepted in " + e.Data.Address.City }),
		consumer.On(m, func(consumer.Event[sample.ParcelCollected]) string { return "collected" }),
	)
	defer stop()

	site.publish(sample.ParcelAccepted{ParcelID: "p-1", Address: sample.Address{City: "Leeds"}}, sample.ParcelCollected{ParcelID: "p-1"})
	fmt.Println(site.committed())
	fmt.Println(site.committed())
	var noted int
	check(site.pool.QueryRow(site.ctx, `SELECT count(*) FROM outbox WHERE event_type = 'ParcelNoted'`).Scan(&noted))
	fmt.Println("stored:", site.status("p-1"), "- events that followed:", noted)
	// Output:
	// "" is now "accepted in Leeds"
	// "accepted in Leeds" is now "collected"
	// stored: collected - events that followed: 1
}

// A reaction that needs a call to the outside makes it before the transaction, under a key derived
// from the aggregate. The printer is down at first: the partition waits and the call is repeated.
// No attempt of the record is spent.
func ExampleOnCall() {
	site, end := newSite()
	defer end()
	m := site.model(func(_ string, s reaction.Step[string]) (reaction.Decision[string], error) {
		return reaction.Decision[string]{State: s.Input, Changed: true, Committed: site.says(s.Key + " is " + s.Input)}, nil
	})
	requests := map[string]int{} // of the printer, by idempotency key
	printLabel := func(status string, e consumer.Event[sample.ParcelAccepted]) consumer.Call[string] {
		if status != "" {
			return nil // it has its label
		}
		return func(context.Context) (string, error) {
			key := "label-" + e.Data.ParcelID
			if requests[key]++; requests[key] == 1 {
				return "", errs.New(errs.Transient, "the printer does not answer") // unknown, never "declined"
			}
			return fmt.Sprintf("L-7, after %d requests under %s, attempt %d", requests[key], key, e.Attempt), nil
		}
	}
	stop := site.consume(consumer.OnCall(m, printLabel,
		func(_ consumer.Event[sample.ParcelAccepted], label string) string { return "labelled " + label }))
	defer stop()

	site.publish(sample.ParcelAccepted{ParcelID: "p-1"})
	fmt.Println(site.committed())
	// Output: p-1 is labelled L-7, after 2 requests under label-p-1, attempt 1
}

// A record that fails by its own fault is tried again from the retry topic. Its key is parked: the
// next record of p-1 waits behind it, and p-2 goes on.
func ExampleSubscription_WithRetry() {
	site, end := newSite()
	defer end()
	m := site.model(func(_ string, s reaction.Step[string]) (reaction.Decision[string], error) {
		if s.Key == "p-1" && (s.Input == "accepted, attempt 1" || s.Input == "accepted, attempt 2") {
			return reaction.Decision[string]{}, fmt.Errorf("the shelf of %s is not known yet", s.Key)
		}
		return reaction.Decision[string]{State: s.Input, Changed: true, Committed: site.says(s.Key + " " + s.Input)}, nil
	})
	accepted := consumer.On(m, func(e consumer.Event[sample.ParcelAccepted]) string {
		return fmt.Sprintf("accepted, attempt %d", e.Attempt)
	})
	collected := consumer.On(m, func(e consumer.Event[sample.ParcelCollected]) string {
		return fmt.Sprintf("collected, attempt %d", e.Attempt)
	})
	policy := consumer.Retry{Attempts: 5, Backoff: consumer.Backoff{Base: 5 * time.Millisecond}}
	stop := site.consume(accepted.WithRetry(policy), collected)
	defer stop()

	site.publish(sample.ParcelAccepted{ParcelID: "p-1"}, sample.ParcelCollected{ParcelID: "p-1"}, sample.ParcelAccepted{ParcelID: "p-2"})
	lines := []string{site.committed(), site.committed(), site.committed()}
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(a[:3], b[:3]) }) // keys share no order
	fmt.Println(strings.Join(lines, "\n"))
	// Output:
	// p-1 accepted, attempt 3
	// p-1 collected, attempt 1
	// p-2 accepted, attempt 1
}

// A record that no attempt can help becomes a dead letter, and its key waits. An operator repairs
// the record and resubmits it. It has its effect, and then the record behind it.
func Example_deadLetter() {
	site, end := newSite()
	defer end()
	m := site.model(func(_ string, s reaction.Step[string]) (reaction.Decision[string], error) {
		if s.Input == "accepted in " {
			return reaction.Decision[string]{}, errs.New(errs.Hopeless, "the address of %s has no city", s.Key)
		}
		return reaction.Decision[string]{State: s.Input, Changed: true, Committed: site.says(s.Key + " " + s.Input)}, nil
	})
	stop := site.consume(
		consumer.On(m, func(e consumer.Event[sample.ParcelAccepted]) string { return "accepted in " + e.Data.Address.City }),
		consumer.On(m, func(consumer.Event[sample.ParcelCollected]) string { return "collected" }),
	)
	defer stop()
	site.publish(sample.ParcelAccepted{ParcelID: "p-1"}, sample.ParcelCollected{ParcelID: "p-1"})

	store := retry.New(lockerGroup, site.out)
	letter := site.deadLetter(store)
	fmt.Printf("%s of %s is %s; records behind it: %d\n", letter.EventType, letter.Key, letter.Class, letter.Followers)

	repaired, err := json.Marshal(sample.ParcelAccepted{ParcelID: "p-1", Address: sample.Address{City: "Leeds"}})
	check(err)
	_, err = store.Edit(site.ctx, site.pool, letter.ID, "ada", retry.Edit{Value: &repaired, Note: "asked the sender"}, false)
	check(err)
	_, err = store.Resubmit(site.ctx, site.pool, letter.ID, "ada", "address repaired", false)
	check(err)
	site.out.Wake()
	fmt.Println(site.committed())
	fmt.Println(site.committed())
	closed, err := store.Get(site.ctx, site.pool, letter.ID)
	fmt.Println("the dead letter is", closed.Status, err)
	// Output:
	// ParcelAccepted of p-1 is hopeless; records behind it: 1
	// p-1 accepted in Leeds
	// p-1 collected
	// the dead letter is resolved <nil>
}

// deadLetter waits for an open dead letter with a record behind it.
func (s *site) deadLetter(store *retry.Store) retry.DeadLetter {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(kafkatest.Patience); time.Now().Before(until); <-tick.C {
		open, _, err := store.List(s.ctx, s.pool, retry.Filter{Status: retry.StatusOpen})
		check(err)
		if len(open) == 1 && open[0].Followers == 1 {
			return open[0]
		}
	}
	panic("no dead letter")
}
