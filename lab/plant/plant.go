// Package plant injects faults into a service's database and into topics from outside. It makes the
// database refuse or spoil rows, by triggers. It writes undecodable records to topics. It changes a
// service's environment for a while: it withholds a privilege, hides or locks a table, ends
// sessions. It also makes a service publish records that the service never produced.
//
// The services have no hooks for faults. They meet a real error of a real database, with the
// requested SQLSTATE, in the middle of their own transaction. Tests and the shop's command line
// plant faults and remove them.
//
// # What it guarantees
//
// A planted fault acts in every transaction that begins afterwards, on all partitions of its table,
// including later ones, until it is removed. A fault with a limit counts refusals by a sequence,
// whose value a rollback does not undo: "fails twice, then works" holds although the refused
// transactions leave no trace. Several faults can exist at once; the one planted first acts first.
//
// # What it does not
//
//   - It acts when a row is about to be inserted, even a row that ON CONFLICT would skip: a message
//     that is received a second time is refused like the first.
//   - It does not act on updated or deleted rows.
//   - After a crash of the server a sequence may have run ahead by up to 32, and the fault may end
//     early.
//
// # How it fails
//
// Planting and removing wait for the transactions that use the table, for at most 5 s. Later
// transactions wait behind them. A transaction that stays open, such as that of a frozen process,
// makes them fail and leaves everything unchanged.
package plant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// DefaultState is the SQLSTATE of a RAISE without one. Services treat it as an error that no
	// retry can resolve.
	DefaultState = "P0001"
	// DiskFull is the SQLSTATE of a server without room for another page.
	DiskFull = "53100"
)

// prefix begins the names of all planted objects.
const prefix = "planted_"

// lockTimeout bounds the wait for the table: other transactions wait behind a waiting lock.
const lockTimeout = "5s"

// Fault selects the refused rows, the number of refusals, and the error.
type Fault struct {
	Table string `json:"table"`
	// Column and Value select rows by the column's text form. Without a column every row is
	// refused.
	Column string `json:"column,omitempty"`
	Value  string `json:"value,omitempty"`
	// Times is the number of refusals; 0 is no limit. A statement of several rows ends at the first
	// refusal. For a fault that spoils rows it is the number of spoilt rows.
	Times int `json:"times,omitempty"`
	// State is the SQLSTATE of the error, five digits or capital letters, outside the classes of
	// success and warnings; "" is [DefaultState].
	State   string `json:"state,omitempty"`
	Message string `json:"message,omitempty"` // of the error; "" means a text that names a planted fault
	Spoils  string `json:"spoils,omitempty"`  // set by [Spoil]: the column whose bytes are cut
}

// Planted is a fault in a database.
type Planted struct {
	Name string // within its database
	Fault
	Refused int // how often it has acted; counted only with a limit in Times
}

// Refuse plants a fault in the database of the URL, whose role has to own the table or be a
// superuser. remove removes it; a second call does nothing.
func Refuse(ctx context.Context, dsn string, f Fault) (remove func(ctx context.Context) error, err error) {
	if f.State == "" {
		f.State = DefaultState
	}
	if f.Message == "" {
		f.Message = "planted fault: a row of " + f.Table + " is refused"
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("plant a fault in table %q: %w", f.Table, err)
	}
	raise := fmt.Sprintf("RAISE EXCEPTION USING MESSAGE = %s, ERRCODE = %s;", literal(f.Message), literal(f.State))
	return plant(ctx, dsn, f, f.when(), raise)
}

// plant creates a trigger that runs the action, a PL/pgSQL statement, for the rows that the
// condition selects; "" selects all. Names and texts are written into the definition, which takes
// no parameters.
func plant(ctx context.Context, dsn string, f Fault, condition, action string) (remove func(ctx context.Context) error, err error) {
	// Triggers fire in the order of their names.
	name := fmt.Sprintf("%s%016x_%06x", prefix, time.Now().UnixNano(), rand.IntN(1<<24))
	about, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("plant a fault in table %q: %w", f.Table, err)
	}
	id, table := ident(name), ident(f.Table)
	var statements []string
	if f.Times > 0 {
		statements = append(statements, "CREATE SEQUENCE "+id)
		action = fmt.Sprintf("IF nextval(%s) <= %d THEN %s END IF;", literal(id), f.Times, action)
	}
	if condition != "" {
		condition = "WHEN (" + condition + ")"
	}
	statements = append(statements,
		// With the planter's rights: the service's role has no right to the sequence.
		fmt.Sprintf("CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS %s", id, literal("BEGIN "+action+" RETURN NEW; END")),
		fmt.Sprintf("COMMENT ON FUNCTION %s() IS %s", id, literal(string(about))),
		fmt.Sprintf("CREATE TRIGGER %s BEFORE INSERT ON %s FOR EACH ROW %s EXECUTE FUNCTION %s()", id, table, condition, id),
	)
	err = run(ctx, dsn, func(tx pgx.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("plant a fault in table %q: %w", f.Table, err)
	}
	return func(ctx context.Context) error { return Remove(ctx, dsn, name) }, nil
}

func (f Fault) check() error {
	switch {
	case f.Table == "":
		return errors.New("no table is named")
	case f.Column == "" && f.Value != "":
		return fmt.Errorf("the value %q has no column", f.Value)
	case f.Times < 0:
		return fmt.Errorf("%d times is negative", f.Times)
	case !regexp.MustCompile(`^[0-9A-Z]{5}$`).MatchString(f.State):
		return fmt.Errorf("%q is no SQLSTATE", f.State)
	case f.State[:2] == "00" || f.State[:2] == "01" || f.State[:2] == "02":
		return fmt.Errorf("SQLSTATE %s is no error", f.State)
	}
	return nil
}

// when returns the condition that selects rows; "" selects all.
func (f Fault) when() string {
	if f.Column == "" {
		return ""
	}
	return fmt.Sprintf("NEW.%s::text = %s", ident(f.Column), literal(f.Value))
}

// Remove removes a planted fault. It is no error if there is no fault of the name.
func Remove(ctx context.Context, dsn, name string) error {
	if !strings.HasPrefix(name, prefix) {
		return fmt.Errorf("remove the fault %q: that is not the name of one", name)
	}
	err := run(ctx, dsn, func(tx pgx.Tx) error {
		var table string
		err := tx.QueryRow(ctx, `SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = $1 AND tgparentid = 0`, name).Scan(&table)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err == nil {
			// DROP locks the partitions first and the table last. An insert locks in the opposite
			// order, so the two would deadlock.
			if _, err := tx.Exec(ctx, "LOCK TABLE "+table); err != nil {
				return err
			}
		}
		// CASCADE drops the triggers with their function.
		_, err = tx.Exec(ctx, "DROP FUNCTION IF EXISTS "+ident(name)+"() CASCADE")
		if err == nil {
			_, err = tx.Exec(ctx, "DROP SEQUENCE IF EXISTS "+ident(name))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove the fault %s: %w", name, err)
	}
	return nil
}

// List returns the faults in a database, in the order in which they were planted.
func List(ctx context.Context, dsn string) ([]Planted, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("list planted faults: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT p.proname, coalesce(obj_description(p.oid, 'pg_proc'), '{}'),
			coalesce(pg_sequence_last_value(to_regclass(quote_ident(p.proname))), 0)
		FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace AND starts_with(p.proname, $1)
		ORDER BY p.proname`, prefix)
	if err != nil {
		return nil, fmt.Errorf("list planted faults: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (p Planted, err error) {
		var about string
		if err = r.Scan(&p.Name, &about, &p.Refused); err == nil {
			err = json.Unmarshal([]byte(about), &p.Fault)
		}
		p.Refused = min(p.Refused, p.Times) // the counter continues for rows that it lets pass
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("list planted faults: %w", err)
	}
	return all, nil
}

// run calls f in a transaction with a short timeout for table locks.
func run(ctx context.Context, dsn string, f func(tx pgx.Tx) error) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+lockTimeout+"'"); err != nil {
			return err
		}
		return f(tx)
	})
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a text so that it is unchanged under every setting of backslashes.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		quoted = " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
