package verify

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"eventshop.example/ops/quote"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/schema"
)

// Undecoded is a record that could not be decoded. [Load] keeps those that a service wrote and
// consumers could read: such a failure is one of this program's decoding and shows nothing about
// the shop. Foreign records, and records that consumers gave up on too, are undecodable for
// everyone; the checks judge them.
type Undecoded struct {
	Place    Place
	Group    string // of the dead letter that was repaired to this record; "" for a record of a topic
	ID       uuid.UUID
	Type     string
	Style    event.Style // of its saga
	Service  string      // whose registry was used
	Registry string      // its address
	SchemaID int         // 0 for a value that is not in wire format
	Err      error

	content Content
	alike   int // the number of records that it stands for, if counted
}

// Content identifies the bytes of a value. It is zero for a tombstone.
type Content [sha256.Size]byte

func contentOf(value []byte) Content {
	if value == nil {
		return Content{}
	}
	return sha256.Sum256(value)
}

// undecodedOf describes why a record could not be decoded.
func (d *decoders) undecodedOf(rec Record, service string, value []byte, err error) Undecoded {
	u := Undecoded{Place: rec.Place(), ID: rec.ID, Type: rec.Type, Style: rec.Style, Service: service, Err: err, content: contentOf(value)}
	u.SchemaID, _ = schema.WriterID(value)
	if one, ok := d.of[service]; ok {
		u.Registry = one.address
	}
	return u
}

// blameless keeps the undecoded records that show nothing about the shop. These are the repaired
// records of resolved dead letters, all records whose registry did not answer, and of the rest
// those that a service wrote with exactly these bytes, unless every group that subscribes to the
// event gave up on it too.
func blameless(f Facts) []Undecoded {
	type place struct {
		id    uuid.UUID
		topic string
	}
	written := map[place]Content{}
	for _, row := range f.Outbox {
		if !row.Raw {
			written[place{row.ID, row.Topic}] = row.Content
		}
	}
	at, given := hold(f).at, map[placeOf]bool{}
	for _, g := range f.GivenUp {
		given[placeOf{g.Group, g.Place}] = true
	}
	refused := func(u Undecoded) bool {
		subscribed := 0
		for _, r := range readers() {
			if !r.topics[u.Place.Topic] || !r.takes(u.Type, u.Style) {
				continue
			}
			subscribed++
			if where := (placeOf{r.group, u.Place}); len(at[where]) == 0 && !given[where] {
				return false
			}
		}
		return subscribed > 0
	}
	return slices.DeleteFunc(slices.Clone(f.Undecoded), func(u Undecoded) bool {
		if u.Group != "" || errs.KindOf(u.Err) == errs.Transient {
			return false
		}
		content, ours := written[place{u.ID, u.Place.Topic}]
		return !ours || content == (Content{}) || content != u.content || refused(u)
	})
}

// CannotDecode reports that records of the services could not be decoded, and with which
// registries. It is not a breach: the invariants that need their events are not checked.
type CannotDecode struct {
	Registries []Undecodable
	NotChecked []string // the invariants
}

// Undecodable lists what could not be decoded with one registry.
type Undecodable struct {
	Address  string
	Services []string // that wrote the records
	Events   int
	Away     bool     // the registry did not answer
	Why      []string // a line per event type and schema id, with the place of the first
}

func (e *CannotDecode) Error() string {
	var parts []string
	for _, r := range e.Registries {
		parts = append(parts, fmt.Sprintf("%d events of %s cannot be decoded with the schema registry at %s", r.Events, quote.Words(r.Services), quote.Text(r.Address)))
	}
	return fmt.Sprintf("%s, so %s are not checked", strings.Join(parts, "; "), strings.Join(e.NotChecked, ", "))
}

// Decoded returns nil if everything that the checks need could be decoded, otherwise a
// *[CannotDecode].
func Decoded(f Facts) error {
	if len(f.Undecoded) == 0 {
		return nil
	}
	e := &CannotDecode{}
	for _, r := range Check(f) {
		if r.NotChecked {
			e.NotChecked = append(e.NotChecked, r.Invariant)
		}
	}
	sorted := slices.SortedStableFunc(slices.Values(f.Undecoded), func(a, b Undecoded) int {
		return cmp.Or(cmp.Compare(a.Registry, b.Registry), cmp.Compare(a.Place.Topic, b.Place.Topic),
			cmp.Compare(a.Place.Partition, b.Place.Partition), cmp.Compare(a.Place.Offset, b.Place.Offset))
	})
	kinds := map[string][]Undecoded{} // by registry
	for _, u := range sorted {
		if n := len(e.Registries); n == 0 || e.Registries[n-1].Address != u.Registry {
			e.Registries = append(e.Registries, Undecodable{Address: u.Registry})
		}
		r := &e.Registries[len(e.Registries)-1]
		if !slices.Contains(r.Services, u.Service) {
			r.Services = append(r.Services, u.Service)
		}
		r.Events++
		if away, ok := errors.AsType[*Unreachable](u.Err); ok {
			r.Away = true
			u.Err = away
		}
		u.alike = 1
		// Records of one type and schema id have the same reason, unless bytes are damaged.
		same := func(o Undecoded) bool {
			return o.Group == u.Group && o.Place.Topic == u.Place.Topic && o.Type == u.Type && o.SchemaID == u.SchemaID && o.Err.Error() == u.Err.Error()
		}
		if i := slices.IndexFunc(kinds[u.Registry], same); i >= 0 {
			kinds[u.Registry][i].alike++
		} else {
			kinds[u.Registry] = append(kinds[u.Registry], u)
		}
	}
	for i, r := range e.Registries {
		for _, u := range kinds[r.Address] {
			e.Registries[i].Why = append(e.Registries[i].Why, u.String())
		}
	}
	return e
}

// String returns the place of the record, the schema it was written with, and why that schema is of
// no use.
func (u Undecoded) String() string {
	where := u.Place.String()
	if u.alike > 1 {
		where = fmt.Sprintf("%s, and %d more like it", where, u.alike-1)
	}
	if u.Group != "" {
		where += ", as repaired in group " + quote.Word(u.Group)
	}
	with := "no schema id"
	if u.SchemaID != 0 {
		with = fmt.Sprintf("schema id %d", u.SchemaID)
	}
	return fmt.Sprintf("%s: %s with %s: %s", where, quote.Word(u.Type), with, quote.Text(u.Err.Error()))
}
