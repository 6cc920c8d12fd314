package verify

import (
	"context"
	"strings"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

const (
	// askedTimes is how many requests a registry may leave unanswered. Then it counts as away, and
	// the remaining records are not worth a request each.
	askedTimes = 3
	// askAgain is the pause between requests.
	askAgain = 300 * time.Millisecond
)

// decoders decodes records of services, each with the service's own registry: two registries use
// the same small numbers for different schemas. It is not safe for concurrent use.
type decoders struct {
	of map[string]*decoder // by service
}

// decoder uses one registry. It keeps schemas. For one reading of the facts it also keeps which
// schemas the registry does not have.
type decoder struct {
	address  string
	codec    *schema.Codec
	subjects map[int]subject
	away     error // why the registry cannot be used
}

// subject is the registry's answer for a schema id.
type subject struct {
	name string
	err  error
}

func newDecoders(registries map[string]Registry) *decoders {
	d := &decoders{of: map[string]*decoder{}}
	made := map[Registry]*decoder{}
	for service, r := range registries {
		if made[r] == nil {
			made[r] = &decoder{address: r.Address, codec: schema.NewCodec(r.Client, events.Catalogue())}
		}
		d.of[service] = made[r]
	}
	return d
}

// begin forgets which schemas the registries did not have: they may have been added.
func (d *decoders) begin() {
	for _, one := range d.of {
		one.subjects, one.away = map[int]subject{}, nil
	}
}

// decode decodes a value written by a service as an event of the type.
func (d *decoders) decode(ctx context.Context, service string, t event.Type, value []byte) (event.Event, error) {
	one, ok := d.of[service]
	if !ok {
		return nil, errs.New(errs.Hopeless, "no schema registry of service %s is known", service)
	}
	id, ok := schema.WriterID(value)
	if ok {
		name, err := one.subject(ctx, id)
		if err != nil {
			return nil, err
		}
		if name != t.Subject {
			return nil, errs.New(errs.Hopeless, "schema id %d is of %s there, not of %s", id, name, t.Subject)
		}
	}
	return one.codec.DecodeAtOnce(ctx, t, value)
}

// subject reads the record name of a schema id from the registry.
func (d *decoder) subject(ctx context.Context, id int) (string, error) {
	if s, ok := d.subjects[id]; ok {
		return s.name, s.err
	}
	if d.away != nil {
		return "", d.away
	}
	for n := 1; ; n++ {
		name, err := d.codec.SubjectOf(ctx, id)
		if err == nil || errs.KindOf(err) != errs.Transient {
			if d.subjects == nil {
				d.subjects = map[int]subject{}
			}
			d.subjects[id] = subject{name, err}
			return name, err
		}
		if n == askedTimes || ctx.Err() != nil {
			d.away = errs.Wrap(errs.Transient, &Unreachable{Part: "the schema registry", Address: d.address, Err: err}, "decode")
			return "", d.away
		}
		pause := time.NewTimer(askAgain)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// producer returns the service whose outbox a topic's records come from.
func producer(topic string) string {
	service, kind, _ := strings.Cut(topic, ".")
	if kind == "commands" {
		return coordinator // to that service
	}
	return service
}
