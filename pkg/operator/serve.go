package operator

import (
	"context"

	"eventshop.example/pkg/service"
)

// Serve listens on addr ("host:port") at once and returns the component that serves the API there;
// see service.Serve. With addr "" there is no listener, and the component only waits to be stopped.
// The error names a port that is in use.
func Serve(addr string, cfg Config) (service.Component, error) {
	const name = "operator"
	if addr == "" {
		return service.Component{Name: name, Run: func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}}, nil
	}
	h, err := Handler(cfg)
	if err != nil {
		return service.Component{}, err
	}
	server, _, err := service.Serve(name, addr, h)
	return server, err
}
