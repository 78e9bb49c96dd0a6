// Command worker is essworker: it turns events on NATS JetStream into calls of
// Tencent's e-sign API, and publishes what became of them.
//
// Each file cmd_*.go is one command, an adapter: it parses, calls one package and
// prints. The wiring of the worker itself is in cmd_run.go.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"essworker/internal/mask"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

type cli struct {
	Config configFile `env:"WORKER_CONFIG" placeholder:"FILE" help:"YAML file of settings, each named as its flag."`

	Demo    demoCmd    `cmd:"" group:"Try it" help:"Everything in one process, with samples: see what it does."`
	Dev     devCmd     `cmd:"" group:"Try it" help:"The same, staying up for your own events."`
	Sim     simCmd     `cmd:"" group:"Try it" help:"The vendor simulator alone."`
	Bench   benchCmd   `cmd:"" group:"Try it" help:"Load through the whole path, with a report."`
	Run     runCmd     `cmd:"" group:"Run it" help:"The worker."`
	Setup   setupCmd   `cmd:"" group:"Run it" help:"Make or update streams, consumers and bucket."`
	Settled configCmd  `cmd:"" name:"config" group:"Run it" help:"Print the settings in force and where each comes from."`
	Publish publishCmd `cmd:"" group:"Use it" help:"Publish events, checked against their schema."`
	Results resultsCmd `cmd:"" group:"Use it" help:"Print result events, newest last."`
	DLQ     dlqCmd     `cmd:"" name:"dlq" group:"Use it" help:"Look at dead letters and replay them."`
	Status  statusCmd  `cmd:"" group:"Operate it" help:"Lanes, workers and what stands in the way; --watch keeps looking."`
	Limit   limitCmd   `cmd:"" group:"Operate it" help:"List or set the calls per second of a vendor action, fleet-wide."`
	Pause   pauseCmd   `cmd:"" group:"Operate it" help:"Stop a lane, fleet-wide."`
	Resume  resumeCmd  `cmd:"" group:"Operate it" help:"Let a paused lane go on."`
	Doctor  doctorCmd  `cmd:"" group:"Operate it" help:"Check everything end to end, a verdict a line; changes nothing."`
	Roles   rolesCmd   `cmd:"" group:"Run it" help:"Print least-privilege broker users for each role."`
	Keys    keysCmd    `cmd:"" group:"Run it" help:"Make certificates for NATS servers and passwords for the roles."`
	Version versionCmd `cmd:"" group:"Run it" help:"Print the version."`
	Ready   readyCmd   `cmd:"" hidden:"" help:"Ask a worker's /readyz; exit 0 if it is ready."`
}

const description = `A worker on NATS JetStream for Tencent's e-sign API.

Try "worker demo" first: it needs nothing else. Settings are flags, variables or
lines of a --config file, in that order; "worker run --help" lists them.`

// helped is how kong's own exit, after --help, unwinds to run.
type helped int

// run is main without the process around it.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) (code int) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case helped:
			code = int(p)
		default:
			panic(p)
		}
	}()
	ctx, cancel := endsWhenDenied(ctx)
	defer cancel(nil)
	s := streams{in, out, errOut}
	src := &sources{}
	parser, err := kong.New(&cli{},
		kong.Name("worker"), kong.Description(description), kong.Writers(out, errOut), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: width(out), NoExpandSubcommands: true}),
		kong.ValueFormatter(explain), // as a field of the options above, kong overwrites it
		kong.Resolvers(src), kong.Bind(src, s), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Exit(func(code int) { panic(helped(code)) }),
	)
	if err != nil {
		return report(errOut, "", fmt.Errorf("the command line is built wrong: %w", err))
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	cmd, err := parse(parser, src, args)
	usage := "worker --help"
	if cmd != nil && cmd.Selected() != nil {
		usage = cmd.Selected().FullPath() + " --help"
	}
	if err == nil {
		err = emptied(cmd)
	}
	if err != nil {
		return report(errOut, usage, err)
	}
	if _, only := reflect.TypeAssert[*configCmd](cmd.Selected().Target.Addr()); !only {
		if err := validate(cmd.Selected().Target); err != nil {
			return report(errOut, usage, exit{exitUsage, err})
		}
	}
	for _, warning := range strayVariables(os.Environ(), variables(parser.Model.Node)) {
		fmt.Fprintln(errOut, "worker: warning:", warning)
	}
	if plain, ok := reflect.TypeAssert[plainCmd](cmd.Selected().Target.Addr()); ok {
		return report(errOut, usage, denied(ctx, plain.Run(ctx, s)))
	}
	cmd.Bind(cmd)
	return report(errOut, usage, denied(ctx, cmd.Run()))
}

// plainCmd is a command that asks nothing of the parser. It is run without it: the model
// of the command line is a megabyte, which a worker would keep for life.
type plainCmd interface {
	Run(ctx context.Context, s streams) error
}

// explain is a flag's help with its default and its variable. A flag without a
// placeholder shows its default in place of one.
func explain(v *kong.Value) string {
	var facts []string
	if v.Default != "" && v.Default != "0" && v.Flag != nil && v.Flag.PlaceHolder != "" {
		facts = append(facts, "default "+v.Default)
	}
	for _, name := range v.Tag.Envs {
		facts = append(facts, "$"+name)
	}
	if len(facts) == 0 {
		return v.Help
	}
	return strings.TrimSpace(strings.TrimSuffix(v.Help, ".") + " (" + strings.Join(facts, ", ") + ").")
}

// variables lists every variable that is a setting of any command.
func variables(node *kong.Node) []string {
	var names []string
	for _, flag := range settingsOf(node) {
		names = append(names, flag.Envs...)
	}
	return names
}

// report prints an error, once, and gives the exit code. Usage is the command that
// tells more about wrong usage.
func report(errOut io.Writer, usage string, err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error() + "\n") {
		text := mask.Text(strings.TrimSuffix(line, "\n"))
		if isTerminal(errOut) {
			text = hang(errOut, "", "        ", text)
		}
		fmt.Fprint(errOut, "worker: ", text, "\n")
	}
	code := exitCode(err)
	if code == exitUsage {
		fmt.Fprintf(errOut, "worker: %q tells what it takes\n", usage)
	}
	return code
}
