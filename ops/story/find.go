package story

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// shortest is the minimum length of a prefix of an id: the part that identifies about a minute.
	shortest = 8
	// findWithin bounds the query of the order service's database.
	findWithin = 10 * time.Second
	// besideWithin bounds the query if the text is a complete id, which is most likely an order's.
	besideWithin = 3 * time.Second
	// hexadecimal lists the characters of ids in lower case.
	hexadecimal = "0123456789abcdef-"
)

// Find returns the order that a text names. The text is an order's id, a prefix of one, or the
// idempotency key of the request that placed the order, as long as that key is stored. A UUID that
// is both an order's id and a key means the order with that id. Find returns a UUID unchanged if it
// is neither, or if it cannot be looked up. dsn is the order service's database. The error names
// the candidates if there are several, and matches [ErrUnknown] if there is none.
func Find(ctx context.Context, dsn, text string) (uuid.UUID, error) {
	id, noID := uuid.Parse(text)
	if dsn == "" || text == "" {
		if noID != nil {
			return uuid.Nil, fmt.Errorf("%s is no order id", quoted(text))
		}
		return id, nil
	}
	within := findWithin
	if noID == nil {
		within = besideWithin
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		if noID == nil {
			return id, nil
		}
		return uuid.Nil, fmt.Errorf("%s is no order id, and the order service's database cannot be asked for it: %w", quoted(text), err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	if noID == nil {
		return byID(ctx, c, id, text)
	}
	found, err := byKey(ctx, c, text)
	if err == nil && len(text) >= shortest {
		var more []uuid.UUID
		more, err = byPrefix(ctx, c, strings.ToLower(text))
		found = append(found, more...)
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("find order %s: %w", quoted(text), err)
	}
	return only(text, found)
}

// byID returns the id if there is an order with it, otherwise the order whose key it is.
func byID(ctx context.Context, c *pgx.Conn, id uuid.UUID, text string) (uuid.UUID, error) {
	var known bool
	err := c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM events WHERE stream_id = $1)`, id.String()).Scan(&known)
	if err != nil || known {
		return id, nil // on a failed query, the sources of the story decide
	}
	found, err := byKey(ctx, c, text)
	if err != nil || len(found) == 0 {
		return id, nil
	}
	return only(text, found)
}

// only returns the order if exactly one was found.
func only(text string, found []uuid.UUID) (uuid.UUID, error) {
	slices.SortFunc(found, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	found = slices.Compact(found)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var ids []string
		for _, id := range found {
			ids = append(ids, id.String())
		}
		return uuid.Nil, fmt.Errorf("%s may be any of these orders: %s", quoted(text), strings.Join(ids, ", "))
	case len(text) < shortest && strings.Trim(strings.ToLower(text), hexadecimal) == "":
		return uuid.Nil, fmt.Errorf("%s is no known idempotency key, and of an order's id %d characters at least are needed: %w", quoted(text), shortest, ErrUnknown)
	}
	return uuid.Nil, fmt.Errorf("%s is no order id, nor the beginning of one, nor a known idempotency key: %w", quoted(text), ErrUnknown)
}

// quoted returns the typed text in quotes, shortened to a readable length.
func quoted(text string) string {
	if len(text) > 80 {
		text = text[:80]
	}
	return strconv.Quote(text)
}

// candidates bounds the orders found: enough to report that there are several.
const candidates = 5

func byKey(ctx context.Context, c *pgx.Conn, key string) ([]uuid.UUID, error) {
	rows, err := c.Query(ctx, `SELECT body FROM idempotency_keys WHERE scope = 'POST /orders' AND key = $1 AND status / 100 = 2 LIMIT $2`, key, candidates)
	if err != nil {
		return nil, fmt.Errorf("look for the idempotency key: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (uuid.UUID, error) {
		var body []byte
		var order struct{ OrderID uuid.UUID }
		err := row.Scan(&body)
		return order.OrderID, errors.Join(err, json.Unmarshal(body, &order))
	})
}

// byPrefix reads a range of the index of streams. Text of digits, letters a to f and hyphens sorts
// the same in every collation; the query leaves out everything that does not begin with the prefix.
func byPrefix(ctx context.Context, c *pgx.Conn, prefix string) ([]uuid.UUID, error) {
	if len(prefix) > 36 || strings.Trim(prefix, hexadecimal) != "" {
		return nil, nil
	}
	rows, err := c.Query(ctx, `SELECT stream_id FROM events
		WHERE version = 1 AND stream_id >= $1 AND stream_id <= $2 AND stream_id LIKE $3 ORDER BY stream_id LIMIT $4`,
		prefix, prefix+"ffffffffffffffffffffffffffffffffffff", prefix+"%", candidates)
	if err != nil {
		return nil, fmt.Errorf("look for the beginning of an id: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	var out []uuid.UUID
	for _, text := range ids {
		if id, err := uuid.Parse(text); err == nil {
			out = append(out, id)
		}
	}
	return out, err
}
