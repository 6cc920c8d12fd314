package service

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Setting is one variable of the environment that a program reads. It is declared once. That
// declaration both reads the variable (see [Read]) and describes it to operators (see [Table]). The
// functions below create settings, one for each type of value. Each stores what it reads in a
// variable of the caller.
type Setting struct {
	Name    string // of the variable: "RETRY_ATTEMPTS"
	Value   string // the allowed values: "integer from 1 to 1000"
	Default string // the value when it is not set; "required" when it must be set
	Meaning string // for operators, in Markdown, without a full stop

	read func(*Env)
}

// required is the Default of a setting that has none.
const required = "required"

// Required returns the setting of a text that has no default.
func Required(name string, to *string, meaning string) Setting {
	return Setting{name, "text", required, meaning, func(e *Env) { *to = e.Required(name) }}
}

// RequiredList returns the setting of a list that has no default. See [Env.List].
func RequiredList(name string, to *[]string, meaning string) Setting {
	return Setting{name, "list, comma between", required, meaning, func(e *Env) { *to = e.List(name) }}
}

// Text returns the setting of a text that may be missing; then it is "". The parameter without
// describes what applies then, such as "none".
func Text[T ~string](name string, to *T, without, meaning string) Setting {
	return Setting{name, "text", without, meaning, func(e *Env) { *to = T(e.String(name, "")) }}
}

// File returns the setting of the path of a file that may be missing; then it is "". The parameter
// without describes what applies then. The caller checks the file.
func File(name string, to *string, without, meaning string) Setting {
	return Setting{name, "file", without, meaning, func(e *Env) { *to = e.String(name, "") }}
}

// PasswordFile returns the setting of the path of a file with a password, or "". See
// [Env.PasswordFile].
func PasswordFile(name string, to *string, meaning string) Setting {
	return Setting{name, "file", "none", meaning, func(e *Env) { *to = e.PasswordFile(name) }}
}

// Int returns the setting of an integer from lowest to highest.
func Int(name string, to *int, def, lowest, highest int, meaning string) Setting {
	return Setting{
		name, fmt.Sprintf("integer from %d to %d", lowest, highest), fmt.Sprint(def), meaning,
		func(e *Env) { *to = e.Int(name, def, lowest, highest) },
	}
}

// Duration returns the setting of a positive duration. See [Env.Duration].
func Duration(name string, to *time.Duration, def time.Duration, meaning string) Setting {
	return Setting{name, "duration", shortDuration(def), meaning, func(e *Env) { *to = e.Duration(name, def) }}
}

// Bool returns the setting of true or false.
func Bool(name string, to *bool, def bool, meaning string) Setting {
	return Setting{name, "`true` or `false`", fmt.Sprint(def), meaning, func(e *Env) { *to = e.Bool(name, def) }}
}

// LogLevel returns the setting LOG_LEVEL, which [Main] reads for every program.
func LogLevel(to *slog.Level) Setting {
	return Setting{
		"LOG_LEVEL", "`debug`, `info`, `warn` or `error`", "info",
		"the least level that is logged",
		func(e *Env) { *to = e.Level("LOG_LEVEL", slog.LevelInfo) },
	}
}

// Parsed returns the setting of a value in a notation of its own, which the parameter value
// describes. parse is called with "" when the variable is not set, and its error must name the
// variable.
func Parsed[T any](name string, to *T, value, without string, parse func(string) (T, error), meaning string) Setting {
	return Setting{name, value, without, meaning, func(e *Env) {
		text, _ := e.get(name)
		parsed, err := parse(text)
		if err != nil {
			e.problems = append(e.problems, err)
			return
		}
		*to = parsed
	}}
}

// Read reads the settings and then runs check on their combination. The error names every variable
// at fault.
func Read(lookup Lookup, settings []Setting, check func() error) error {
	env := NewEnv(lookup)
	env.Read(settings)
	return errors.Join(env.Err(), check())
}

// Read reads the settings and collects the mistakes.
func (e *Env) Read(settings []Setting) {
	for _, s := range settings {
		s.read(e)
	}
}

// Table returns the settings as a table in Markdown, one line for each, in their order.
func Table(settings []Setting) string {
	var b strings.Builder
	b.WriteString("| variable | value | default | meaning |\n|---|---|---|---|\n")
	for _, s := range settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, s.Value, s.Default, s.Meaning)
	}
	return b.String()
}

// shortDuration writes "5m" where Duration.String writes "5m0s".
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
