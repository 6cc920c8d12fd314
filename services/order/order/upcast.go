package order

import (
	"bytes"
	"encoding/json"
	"slices"

	"eventshop.example/pkg/errs"
)

// Stored events are never rewritten, so this file reads every form that any release has written. The
// field "v" of a stored event is the version of its form. Without it the version is 1. ADR 11 says how
// a new version is introduced while processes of the release before are running.

// Actor is who requested a cancellation.
type Actor string

// The actors. An event of an earlier release with a reason that is not known has none.
const (
	ByCustomer Actor = "customer"
	BySystem   Actor = "system" // this service
)

// Trigger is why a cancellation was requested.
type Trigger string

// The triggers.
const (
	OnRequest  Trigger = "request"  // it was asked for
	OnDeadline Trigger = "deadline" // the order was not confirmed in time
)

// Reason returns the reason in the vocabulary of OrderCancelled. In version 1 it was the stored field,
// and it said both who and why.
func (e OrderCancellationRequested) Reason() string {
	switch {
	case e.Trigger == OnDeadline:
		return ReasonDeadline
	case e.Actor == ByCustomer && e.Trigger == OnRequest:
		return ReasonCustomer
	}
	return string(e.Trigger)
}

// fields is a stored event. An upcaster turns version n into version n+1. It is pure: it changes a copy
// of its own that [upcast] made, and the result depends on nothing else.
type (
	fields   map[string]json.RawMessage
	upcaster func(fields) error
)

// upcasters returns the upcasters of a type: the first one reads version 1. Their number plus one is
// the latest version. nil stands for a version that is read as the next one is.
func upcasters(name string) []upcaster {
	switch name {
	case "OrderCreated":
		return []upcaster{createdTo2, nil}
	case "OrderCancellationRequested":
		return []upcaster{cancellationRequestedTo2}
	}
	return nil
}

// createdTo2 adds the channel, which was not known.
func createdTo2(f fields) error { return f.set("channel", Unspecified) }

// identity is what an order has for its id from version 3 of OrderCreated on. The style decides over money,
// so a program that does not know it must not read the event: where it expects a text, it finds an object.
type identity struct {
	ID   string `json:"id"`
	Saga Style  `json:"saga"`
}

// UnmarshalJSON reads the identity of version 3, and the id of the versions before, which are
// choreographed. Those are the most, and need no upcaster, which costs a map of the event's fields.
func (i *identity) UnmarshalJSON(b []byte) error {
	if i.Saga = Choreographed; json.Unmarshal(b, &i.ID) == nil {
		return nil
	}
	type plain identity
	i.Saga = ""
	return json.Unmarshal(b, (*plain)(i))
}

// decodeCreated reads the versions 2 and 3.
func decodeCreated(name string, data json.RawMessage) (Event, error) {
	var form struct {
		OrderID identity `json:"orderId"` // in place of the embedded one
		OrderCreated
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "decode stored "+name)
	}
	switch e := form.OrderCreated; form.OrderID.Saga {
	case Choreographed, Orchestrated:
		e.OrderID, e.Style = form.OrderID.ID, form.OrderID.Saga
		return e, nil
	}
	return nil, errs.New(errs.Internal, "decode stored %s: %q is no style", name, form.OrderID.Saga)
}

// cancellationRequestedTo2 splits the reason into who and why.
func cancellationRequestedTo2(f fields) error {
	var reason string
	if stored, ok := f["reason"]; ok {
		if err := json.Unmarshal(stored, &reason); err != nil {
			return err
		}
	}
	actor, trigger := Actor(""), Trigger(reason)
	switch reason {
	case ReasonCustomer:
		actor, trigger = ByCustomer, OnRequest
	case ReasonDeadline:
		actor, trigger = BySystem, OnDeadline
	}
	if err := f.set("actor", actor); err != nil {
		return err
	}
	return f.set("trigger", trigger)
}

func (f fields) set(name string, value any) error {
	b, err := json.Marshal(value)
	f[name] = b
	return err
}

// upcast returns the latest version of a stored event.
func upcast(name string, data json.RawMessage) (json.RawMessage, error) {
	steps := upcasters(name)
	version, err := versionOf(data)
	switch latest := len(steps) + 1; {
	case err != nil:
		return nil, errs.Wrap(errs.Internal, err, "decode stored "+name)
	case version > latest:
		return nil, errs.New(errs.Internal, "stored %s has version %d, and this program knows up to version %d", name, version, latest)
	case !slices.ContainsFunc(steps[version-1:], func(step upcaster) bool { return step != nil }):
		return data, nil
	}
	f := fields{}
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "decode stored "+name)
	}
	if f == nil {
		return nil, errs.New(errs.Internal, "decode stored %s: null is no event", name)
	}
	for n := version; n <= len(steps); n++ {
		if steps[n-1] == nil {
			continue
		}
		if err := steps[n-1](f); err != nil {
			return nil, errs.New(errs.Internal, "decode stored %s: from version %d to %d: %w", name, n, n+1, err)
		}
	}
	b, err := json.Marshal(f)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "decode stored "+name)
	}
	return b, nil
}

func versionOf(data json.RawMessage) (int, error) {
	if !bytes.Contains(data, []byte(`"v"`)) { // most events: nothing to parse
		return 1, nil
	}
	var form struct {
		V *int `json:"v"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return 0, err
	}
	switch {
	case form.V == nil:
		return 1, nil
	case *form.V < 1:
		return 0, errs.New(errs.Internal, "version %d", *form.V)
	}
	return *form.V, nil
}

// stored returns what the stored form of an event is encoded from. The forms of version 2 have all
// fields of version 1 with their meaning, so that processes of the release before read them, too. A
// choreographed order begins with version 2, for their sake. They must not take an orchestrated order for a
// choreographed one, so it begins with version 3, which no release before can read.
func stored(e Event) any {
	switch e := e.(type) {
	case OrderCreated:
		style := e.Style
		e.Style = "" // it is in the identity
		if style != Orchestrated {
			return struct {
				V int `json:"v"`
				OrderCreated
			}{2, e}
		}
		return struct {
			V       int      `json:"v"`
			OrderID identity `json:"orderId"` // in place of the embedded one
			OrderCreated
		}{3, identity{e.OrderID, style}, e}
	case OrderCancellationRequested:
		return struct {
			V      int    `json:"v"`
			Reason string `json:"reason"` // of version 1
			OrderCancellationRequested
		}{2, e.Reason(), e}
	}
	return e
}
