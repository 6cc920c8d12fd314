package plant

import (
	"context"
	"errors"
	"fmt"
)

// Spoil plants a serialiser's bug: in the rows that the fault selects, it keeps only the first half
// of the bytes in the column and lets the row through. containing selects only rows whose column
// contains these bytes; "" selects all. In an outbox's payload this creates an undecodable record
// with correct headers. State and Message have no meaning here. remove and the errors are those of
// [Refuse].
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

// Clear removes every planted fault from a database.
func Clear(ctx context.Context, dsn string) error {
	all, err := List(ctx, dsn)
	failures := []error{err}
	for _, p := range all {
		failures = append(failures, Remove(ctx, dsn, p.Name))
	}
	return errors.Join(failures...)
}

// Refused returns how often the faults planted in a database have acted, as far as this is counted.
func Refused(ctx context.Context, dsn string) (n int, err error) {
	all, err := List(ctx, dsn)
	for _, p := range all {
		n += p.Refused
	}
	return n, err
}
