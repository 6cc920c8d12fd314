package plant

import (
	"context"
	"errors"
	"fmt"
)

// Spoil plants a serialiser's bug: of the rows that the fault selects it keeps the first
// half of the bytes in the column and lets the row through. containing narrows that to
// rows in whose column these bytes are; "" to none. In an outbox's payload this makes a
// poison record of an event whose headers are right. State and Message have no meaning
// here; remove and the errors are as of [Refuse].
func Spoil(ctx context.Context, dsn string, f Fault, column, containing string) (remove func(ctx context.Context) error, err error) {
	f.State, f.Message, f.Spoils = DefaultState, "", column
	err = f.check()
	if err == nil && column == "" {
		err = errors.New("no column to spoil is named")
	}
	if err != nil {
		return nil, fmt.Errorf("plant a fault in table %q: %w", f.Table, err)
	}
	f.State = ""
	spoilt, condition := "NEW."+ident(column), f.when()
	if containing != "" {
		if condition != "" {
			condition += " AND "
		}
		condition += fmt.Sprintf(`position('\x%x'::bytea in %s) > 0`, containing, spoilt)
	}
	return plant(ctx, dsn, f, condition, fmt.Sprintf("%s := substring(%s FOR octet_length(%s) / 2);", spoilt, spoilt, spoilt))
}

// Clear removes every fault that is planted in a database.
func Clear(ctx context.Context, dsn string) error {
	all, err := List(ctx, dsn)
	failures := []error{err}
	for _, p := range all {
		failures = append(failures, Remove(ctx, dsn, p.Name))
	}
	return errors.Join(failures...)
}

// Refused returns how often the faults planted in a database have acted, as far as it is
// counted.
func Refused(ctx context.Context, dsn string) (n int, err error) {
	all, err := List(ctx, dsn)
	for _, p := range all {
		n += p.Refused
	}
	return n, err
}
