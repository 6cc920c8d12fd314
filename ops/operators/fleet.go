package operators

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"eventshop.example/ops/jsonhttp"
)

const (
	// readWithin bounds a read. A frozen process accepts connections and does not answer.
	readWithin = 5 * time.Second
	// changeWithin is longer, because after a timeout it is unknown whether the change was made.
	changeWithin = 30 * time.Second
)

// replica matches the end of the name of a service's second and further processes.
var replica = regexp.MustCompile(`-[0-9]+$`)

// Process is one process of a service.
type Process struct {
	Name string // "payment-2"
	*Client
}

// Group is a service: one consumer group, one database, one or more processes.
type Group struct {
	Name      string // "payment"
	Processes []Process
}

// Fleet is the set of all services. Create it with [NewFleet]. It does not change.
type Fleet struct {
	Groups []Group // by name
}

// NewFleet returns the fleet of the processes whose operator listeners have these URLs, by process
// name. actor is the operator that the services record for changes.
func NewFleet(operators map[string]string, actor string) *Fleet {
	client := jsonhttp.NewHTTP()
	f := &Fleet{}
	for _, process := range slices.Sorted(maps.Keys(operators)) {
		p := Process{process, NewClient(operators[process], actor, client)}
		name := replica.ReplaceAllString(process, "")
		i := slices.IndexFunc(f.Groups, func(g Group) bool { return g.Name == name })
		if i < 0 {
			i, f.Groups = len(f.Groups), append(f.Groups, Group{Name: name})
		}
		f.Groups[i].Processes = append(f.Groups[i].Processes, p)
	}
	return f
}

// Only returns the group of that name, or all groups for an empty name. The error for an unknown
// name lists the names.
func (f *Fleet) Only(name string) ([]Group, error) {
	if name == "" {
		return f.Groups, nil
	}
	g, err := f.Group(name)
	if err != nil {
		return nil, err
	}
	return []Group{g}, nil
}

// Group returns the group of that name. Errors are those of [Fleet.Only].
func (f *Fleet) Group(name string) (Group, error) {
	for _, g := range f.Groups {
		if g.Name == name {
			return g, nil
		}
	}
	names := make([]string, len(f.Groups))
	for i, g := range f.Groups {
		names[i] = g.Name
	}
	return Group{}, fmt.Errorf("there is no group %q; there are %s", name, strings.Join(names, ", "))
}

// ParkedOf returns the group's parked keys that equal key, on all topics.
func (g Group) ParkedOf(ctx context.Context, key string) ([]ParkedKey, error) {
	return Ask(ctx, g, func(ctx context.Context, c *Client) ([]ParkedKey, error) { return c.ParkedOf(ctx, key) })
}

// Breaker returns the state of a breaker in the group's first process that answers. It returns the
// zero [Breaker], which has no state, if the process has no breaker of that name.
func (g Group) Breaker(ctx context.Context, name string) (Breaker, error) {
	all, err := Ask(ctx, g, func(ctx context.Context, c *Client) ([]Breaker, error) { return c.Breakers(ctx) })
	for _, b := range all {
		if b.Name == name {
			return b, err
		}
	}
	return Breaker{}, err
}

// Ask asks one process of the group. If that process does not answer, Ask tries the next one.
func Ask[T any](ctx context.Context, g Group, ask func(context.Context, *Client) (T, error)) (T, error) {
	return try(ctx, g, readWithin, true, ask)
}

// Change sends a change to one process of the group. It sends the change to another process only if
// the first one cannot have received it.
func Change[T any](ctx context.Context, g Group, change func(context.Context, *Client) (T, error)) (T, error) {
	return try(ctx, g, changeWithin, false, change)
}

func try[T any](ctx context.Context, g Group, within time.Duration, again bool, do func(context.Context, *Client) (T, error)) (T, error) {
	var down []error
	for _, p := range g.Processes {
		value, err := once(ctx, p.Client, within, do)
		var u *jsonhttp.Unreachable
		if !errors.As(err, &u) || ctx.Err() != nil {
			return value, err
		}
		down = append(down, err)
		if u.Sent && !again {
			break
		}
	}
	var zero T
	if len(down) == 0 {
		return zero, fmt.Errorf("%s has no process", g.Name)
	}
	err := down[0]
	for _, next := range down[1:] {
		err = fmt.Errorf("%w; %w", err, next)
	}
	return zero, err
}

func once[T any](ctx context.Context, c *Client, within time.Duration, do func(context.Context, *Client) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return do(ctx, c)
}

// Answer is the answer of a group or a process.
type Answer[T any] struct {
	From  string // the name of the group or process
	Value T
	Err   error
}

// AskAll asks all groups in parallel. The answers are in the order of the groups.
func AskAll[T any](ctx context.Context, groups []Group, ask func(context.Context, *Client) (T, error)) []Answer[T] {
	return sideBySide(groups, func(g Group) Answer[T] {
		value, err := Ask(ctx, g, ask)
		return Answer[T]{g.Name, value, err}
	})
}

// AskEach asks every process, for state that replicas do not share.
func AskEach[T any](ctx context.Context, groups []Group, ask func(context.Context, *Client) (T, error)) []Answer[T] {
	var all []Process
	for _, g := range groups {
		all = append(all, g.Processes...)
	}
	return sideBySide(all, func(p Process) Answer[T] {
		value, err := once(ctx, p.Client, readWithin, ask)
		return Answer[T]{p.Name, value, err}
	})
}

func sideBySide[S, A any](whom []S, ask func(S) A) []A {
	answers := make([]A, len(whom))
	var wg sync.WaitGroup
	for i, w := range whom {
		wg.Go(func() { answers[i] = ask(w) })
	}
	wg.Wait()
	return answers
}

// Failures returns the errors among the answers, each with the name of its group or process.
func Failures[T any](answers []Answer[T]) []error {
	var failed []error
	for _, a := range answers {
		if a.Err != nil {
			failed = append(failed, fmt.Errorf("%s cannot be asked: %w", a.From, a.Err))
		}
	}
	return failed
}

// List returns the group's dead letters that the filter selects, oldest first. With most > 0 it
// returns at most that many; more reports whether there are others.
func (g Group) List(ctx context.Context, f Filter, most int) (all []Summary, more bool, err error) {
	after := ""
	for {
		limit := MaxPage
		if most > 0 {
			limit = min(limit, most-len(all))
		}
		page, err := Ask(ctx, g, func(ctx context.Context, c *Client) (Page, error) { return c.DeadLetters(ctx, f, after, limit) })
		if err != nil {
			return nil, false, err
		}
		all = append(all, page.DeadLetters...)
		if page.Next == "" || most > 0 && len(all) >= most {
			return all, page.Next != "", nil
		}
		after = page.Next
	}
}

// Listing is the result of [Group.List].
type Listing struct {
	DeadLetters []Summary
	More        bool // there are more dead letters than were asked for
}

// ListAll lists the dead letters of several groups in parallel.
func ListAll(ctx context.Context, groups []Group, f Filter, most int) []Answer[Listing] {
	return sideBySide(groups, func(g Group) Answer[Listing] {
		found, more, err := g.List(ctx, f, most)
		return Answer[Listing]{g.Name, Listing{found, more}, err}
	})
}

// Find returns the dead letter with the id and its group. If no group has it, the error says so. If
// some groups could not be asked, the error names them, because one of them may have it.
func (f *Fleet) Find(ctx context.Context, id string) (Group, Detail, error) {
	answers := AskAll(ctx, f.Groups, func(ctx context.Context, c *Client) (Detail, error) { return c.DeadLetter(ctx, id) })
	var failed []error
	for i, a := range answers {
		switch {
		case a.Err == nil:
			return f.Groups[i], a.Value, nil
		case jsonhttp.StatusOf(a.Err) != http.StatusNotFound:
			failed = append(failed, fmt.Errorf("%s cannot be asked: %w", a.From, a.Err))
		}
	}
	if len(failed) > 0 {
		return Group{}, Detail{}, fmt.Errorf("dead letter %s is not found: %w", id, errors.Join(failed...))
	}
	return Group{}, Detail{}, fmt.Errorf("no group has a dead letter %s", id)
}
