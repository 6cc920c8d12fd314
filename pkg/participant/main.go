package participant

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
)

// configuration is a pointer to a service's Config. A struct that embeds [Config] has both methods;
// it declares Settings again when it has settings of its own.
type configuration[C any] interface {
	*C
	Settings() []service.Setting
	Check() error
}

// FromEnv reads a service's Config from the environment. The error names every variable at fault.
func FromEnv[C any, P configuration[C]](lookup service.Lookup) (C, error) {
	var cfg C
	p := P(&cfg)
	err := service.Read(lookup, p.Settings(), p.Check)
	return cfg, err
}

// Main is the body of a service's main function. name is the service's, subject the name of the log
// attribute with the key of a record; see [telemetry.NewLogger]. Without arguments Main runs the
// service; see [service.Main]. The commands are `healthcheck`; `migrate`, which runs the migrations comps as a
// job; and `settings`, which prints every variable of the environment that the program reads.
func Main[C any, P configuration[C]](name, subject string, run func(context.Context, C) error, comps []postgres.Component) {
	service.Main(name, subject, FromEnv[C, P], run, migrate(comps), listing(Settings[C, P]()))
}

// Settings returns every variable that the program of a service reads.
func Settings[C any, P configuration[C]]() []service.Setting {
	var job migration
	return slices.Concat(
		P(new(C)).Settings(),
		[]service.Setting{service.LogLevel(new(slog.Level))},
		job.roleSettings(),
	)
}

// listing returns the command that prints the settings as a table in Markdown.
func listing(settings []service.Setting) service.Command {
	return service.Command{Name: "settings", Run: func(_ context.Context, _ *service.Env, out io.Writer) error {
		_, err := fmt.Fprint(out, service.Table(settings))
		return err
	}}
}
