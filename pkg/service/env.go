package service

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"eventshop.example/pkg/credentials"
)

// Lookup returns a variable of the environment, as os.LookupEnv does.
type Lookup = func(name string) (string, bool)

// Env reads typed variables and collects their mistakes, so that one start reports all of them. A
// variable that is set to the empty string counts as not set. It is not safe for concurrent use.
type Env struct {
	lookup   Lookup
	problems []error
}

// NewEnv returns an Env that reads from lookup.
func NewEnv(lookup Lookup) *Env { return &Env{lookup: lookup} }

// Err returns every mistake found so far, each naming its variable; nil if none.
func (e *Env) Err() error { return errors.Join(e.problems...) }

// Required returns a variable that has no default.
func (e *Env) Required(name string) string {
	v, ok := e.get(name)
	if !ok {
		e.Fail(name, "is required")
	}
	return v
}

// String returns a variable or its default.
func (e *Env) String(name, def string) string {
	if v, ok := e.get(name); ok {
		return v
	}
	return def
}

// List returns the elements of a required, comma-separated variable, without the spaces around
// them. No element may be empty.
func (e *Env) List(name string) []string {
	var list []string
	for part := range strings.SplitSeq(e.Required(name), ",") {
		if part = strings.TrimSpace(part); part == "" {
			if _, ok := e.get(name); ok {
				e.Fail(name, "has an empty element")
			}
			return nil
		}
		list = append(list, part)
	}
	return list
}

// PasswordFile returns the path of a file with a password, or "". The file must exist. The password
// is read again for each connection.
func (e *Env) PasswordFile(name string) string {
	file, ok := e.get(name)
	if !ok {
		return ""
	}
	if _, err := credentials.Password(file); err != nil {
		e.Fail(name, fmt.Sprintf("cannot be used: %v", err))
	}
	return file
}

// Int returns an integer from lowest to highest, or the default.
func (e *Env) Int(name string, def, lowest, highest int) int {
	return parse(e, name, def, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < lowest || n > highest {
			return 0, fmt.Errorf("must be an integer from %d to %d", lowest, highest)
		}
		return n, nil
	})
}

// Duration returns a positive duration in Go's notation ("5m", "250ms"), or the default.
func (e *Env) Duration(name string, def time.Duration) time.Duration {
	return parse(e, name, def, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return 0, errors.New(`must be a positive duration like "5m" or "250ms"`)
		}
		return d, nil
	})
}

// Bool returns true or false ("1", "true", "0", "false"), or the default.
func (e *Env) Bool(name string, def bool) bool {
	return parse(e, name, def, func(s string) (bool, error) {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return false, errors.New(`must be "true" or "false"`)
		}
		return b, nil
	})
}

// Level returns a log level ("debug", "info", "warn", "error"), or the default.
func (e *Env) Level(name string, def slog.Level) slog.Level {
	return parse(e, name, def, func(s string) (slog.Level, error) {
		var l slog.Level
		if l.UnmarshalText([]byte(s)) != nil {
			return 0, errors.New(`must be "debug", "info", "warn" or "error"`)
		}
		return l, nil
	})
}

func parse[T any](e *Env, name string, def T, convert func(string) (T, error)) T {
	s, ok := e.get(name)
	if !ok {
		return def
	}
	v, err := convert(s)
	if err != nil {
		e.Fail(name, fmt.Sprintf("%s, not %q", err, s))
		return def
	}
	return v
}

func (e *Env) get(name string) (string, bool) {
	v, _ := e.lookup(name)
	v = strings.TrimSpace(v)
	return v, v != ""
}

// Fail adds a mistake that only the caller can detect. problem is text that follows the variable's
// name.
func (e *Env) Fail(name, problem string) {
	e.problems = append(e.problems, fmt.Errorf("environment variable %s %s", name, problem))
}
