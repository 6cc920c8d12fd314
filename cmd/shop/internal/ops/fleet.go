package ops

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
)

const (
	// readWithin is what a question may take. A process that is frozen accepts
	// connections and does not answer.
	readWithin = 5 * time.Second
	// changeWithin is longer, because giving up leaves open whether it was done.
	changeWithin = 30 * time.Second
)

// replica is the end of the name of a service's second and further processes.
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

// Fleet is all services. It is made by NewFleet and does not change.
type Fleet struct {
	Groups []Group // by name
}

// NewFleet returns the fleet whose processes' operator listeners are at the URLs, by
// process name. actor is the person in whose name things are done.
func NewFleet(operators map[string]string, actor string) *Fleet {
	client := newHTTP()
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

// Only returns the group of that name, or all when the name is empty. An unknown name
// is an error that tells the names.
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

// Group returns the group of that name; the error is as of Only.
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

// ParkedOf lists what the group has parked of a key, on all topics.
func (g Group) ParkedOf(ctx context.Context, key string) ([]ParkedKey, error) {
	keys, err := Ask(ctx, g, func(ctx context.Context, c *Client) ([]ParkedKey, error) { return c.Parked(ctx, MaxPage) })
	return slices.DeleteFunc(keys, func(k ParkedKey) bool { return k.Key != key }), err
}

// Breaker returns how a breaker stands in the group's first process that answers; the
// zero Breaker, which has no state, when it has none of that name.
func (g Group) Breaker(ctx context.Context, name string) (Breaker, error) {
	all, err := Ask(ctx, g, func(ctx context.Context, c *Client) ([]Breaker, error) { return c.Breakers(ctx) })
	for _, b := range all {
		if b.Name == name {
			return b, err
		}
	}
	return Breaker{}, err
}

// Ask asks one process of the group; when it does not answer, the next.
func Ask[T any](ctx context.Context, g Group, ask func(context.Context, *Client) (T, error)) (T, error) {
	return try(ctx, g, readWithin, true, ask)
}

// Tell has one process of the group do something. Another one is told only when the
// first was not there to hear it.
func Tell[T any](ctx context.Context, g Group, tell func(context.Context, *Client) (T, error)) (T, error) {
	return try(ctx, g, changeWithin, false, tell)
}

func try[T any](ctx context.Context, g Group, within time.Duration, again bool, do func(context.Context, *Client) (T, error)) (T, error) {
	var down []error
	for _, p := range g.Processes {
		value, err := once(ctx, p.Client, within, do)
		var u *Unreachable
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

// Answer is what a group or a process answered.
type Answer[T any] struct {
	From  string // the name of the group or process
	Value T
	Err   error
}

// AskAll asks all groups side by side. The answers are in the order of the groups.
func AskAll[T any](ctx context.Context, groups []Group, ask func(context.Context, *Client) (T, error)) []Answer[T] {
	return sideBySide(groups, func(g Group) Answer[T] {
		value, err := Ask(ctx, g, ask)
		return Answer[T]{g.Name, value, err}
	})
}

// AskEach asks every process, for what replicas do not share.
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

// Failures returns the errors of the answers, each with the name of whom it came from.
func Failures[T any](answers []Answer[T]) []error {
	var failed []error
	for _, a := range answers {
		if a.Err != nil {
			failed = append(failed, fmt.Errorf("%s cannot be asked: %w", a.From, a.Err))
		}
	}
	return failed
}

// List returns the dead letters of a group that the filter selects, oldest first; with
// most > 0 not more than so many, and more tells that there are.
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

// Listing is what List found.
type Listing struct {
	DeadLetters []Summary
	More        bool // than were asked for
}

// ListAll lists the dead letters of several groups side by side.
func ListAll(ctx context.Context, groups []Group, f Filter, most int) []Answer[Listing] {
	return sideBySide(groups, func(g Group) Answer[Listing] {
		found, more, err := g.List(ctx, f, most)
		return Answer[Listing]{g.Name, Listing{found, more}, err}
	})
}

// Find returns the dead letter with the id and the group that has it. When no group has
// it the error says so; when some could not be asked it names them, because it may be
// theirs.
func (f *Fleet) Find(ctx context.Context, id string) (Group, Detail, error) {
	answers := AskAll(ctx, f.Groups, func(ctx context.Context, c *Client) (Detail, error) { return c.DeadLetter(ctx, id) })
	var failed []error
	for i, a := range answers {
		switch {
		case a.Err == nil:
			return f.Groups[i], a.Value, nil
		case StatusOf(a.Err) != http.StatusNotFound:
			failed = append(failed, fmt.Errorf("%s cannot be asked: %w", a.From, a.Err))
		}
	}
	if len(failed) > 0 {
		return Group{}, Detail{}, fmt.Errorf("dead letter %s is not found: %w", id, errors.Join(failed...))
	}
	return Group{}, Detail{}, fmt.Errorf("no group has a dead letter %s", id)
}
