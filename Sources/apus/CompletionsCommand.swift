internal import ArgumentParser
internal import Glibc

/// Prints the script by which a shell completes `apus`.
struct CompletionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completions",
        abstract: "Print the completion script of a shell.",
        discussion: """
            EXAMPLES
              apus completions bash > ~/.local/share/bash-completion/completions/apus
              apus completions zsh > ~/.zfunc/_apus      # fpath+=~/.zfunc before compinit
              apus completions fish > ~/.config/fish/completions/apus.fish
            """)

    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish
    }

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        let completed: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        let output = Output()
        output.write { $0 += "\(Apus.completionScript(for: completed))\n".utf8 }
        output.flush()
    }
}
