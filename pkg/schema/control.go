package schema

import (
	"context"
	"time"

	"eventshop.example/pkg/errs"
)

// verify is the control: it asks the registry for a schema that it must have, unless that succeeded
// after the given instant. A registry that was restored from an old backup, or a different registry
// behind the URL, fails it. The codec then trusts none of its answers. A codec that knows no id yet
// has no control of its own. If strict, it then uses a schema of the registry's own list, which
// must not be empty.
func (l *lookups) verify(after time.Time, strict bool) error {
	l.verifies.Lock() // one request for all callers that need its answer
	defer l.verifies.Unlock()
	if l.verified.After(after) {
		return nil
	}
	began := time.Now()
	id, text := l.control()
	if id == 0 && !strict {
		return nil
	}
	if err := l.knows(context.Background(), id, text); err != nil {
		return errs.New(errs.Transient, "the schema registry is not to be believed: %w", err)
	}
	l.verified = began
	return nil
}

// knows returns why the registry does not have a schema that it must have.
func (l *lookups) knows(ctx context.Context, id int, text string) error {
	if id == 0 {
		var err error
		if id, text, err = l.own(ctx); err != nil {
			return err
		}
	}
	have, err := l.client.Schema(ctx, id)
	if err != nil {
		return err
	}
	want, err := Canonical(text)
	if err != nil {
		return err
	}
	if got, err := Canonical(have); err != nil || got != want {
		return errs.New(errs.Transient, "schema id %d is another one than it was", id)
	}
	return nil
}

// own picks a schema that the registry lists.
func (l *lookups) own(ctx context.Context) (id int, text string, err error) {
	subjects, err := l.client.Subjects(ctx)
	if err != nil {
		return 0, "", err
	}
	for _, s := range subjects[:min(len(subjects), maxSearched)] {
		v, err := l.client.Latest(ctx, s)
		if err != nil && errs.KindOf(err) == errs.NotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return 0, "", err
		}
		if _, err := Canonical(v.Schema); err == nil {
			return v.ID, v.Schema, nil
		} // else of another kind, such as Protobuf
	}
	return 0, "", errs.New(errs.Transient, "it has no Avro schema at all")
}
