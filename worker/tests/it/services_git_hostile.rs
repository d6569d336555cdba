//! A repository belongs to whoever works in it. Reading one runs none of the programs that it names, and leaves
//! its folder for no other.

use std::fs;

use crate::services::World;
use bytes::Bytes;
use ports::rpc::Code;
use types::calls::{Archive, FileCall, GitCall, Scope};

/// Every program writes its name into `../ran`; `../outside` is a folder with a file of its own.
const HOSTILE: &str = r#"
mkdir -p ../outside; echo private > ../outside/private.txt
cat > ../evil <<'EVIL'
#!/bin/sh
echo "$1" >> "$(dirname "$0")/ran"
cat
EVIL
chmod +x ../evil; evil="$(cd ..; pwd)/evil"
git init -q -b main .
echo one > tracked.txt; echo x > gone.txt; git add .; git commit -qm first
git init -q sub; (cd sub; echo s > s.txt; git add .; git commit -qm sub)
git add sub 2>/dev/null; git commit -qm second
echo two > tracked.txt; rm gone.txt; echo new > new.txt; echo dirty > sub/s.txt
for repository in . sub; do
    git -C $repository config filter.evil.clean "$evil clean"
    git -C $repository config filter.evil.smudge "$evil smudge"
    git -C $repository config filter.evil.required true
    git -C $repository config filter.long.process "$evil process"
    git -C $repository config diff.evil.command "$evil diff-command"
    git -C $repository config diff.evil.textconv "$evil textconv"
    git -C $repository config diff.external "$evil external"
    git -C $repository config core.fsmonitor "$evil fsmonitor"
    git -C $repository config core.pager "$evil pager"
    git -C $repository config pager.diff true
    git -C $repository config core.sshCommand "$evil ssh"
    git -C $repository config core.alternateRefsCommand "$evil alternates"
    git -C $repository config core.editor "$evil editor"
    git -C $repository config credential.helper "!$evil credential"
    git -C $repository config gpg.program "$evil gpg"
    git -C $repository config log.showSignature true
    git -C $repository config alias.diff "!$evil alias"
    git -C $repository config remote.origin.url "ext::$evil remote"
    git -C $repository config remote.origin.promisor true
    git -C $repository config remote.origin.uploadpack "$evil uploadpack"
    git -C $repository config protocol.ext.allow always
    git -C $repository config extensions.partialClone origin
    git -C $repository config core.hooksPath "$(pwd)/../hooks"
    git -C $repository config include.path "$(pwd)/../included"
    git -C $repository config includeIf.gitdir:/.path "$(pwd)/../included"
done
mkdir ../hooks
for hook in post-index-change fsmonitor-watchman reference-transaction post-checkout pre-auto-gc; do
    printf '#!/bin/sh\necho hook-%s >> %s/ran\n' $hook "$(cd ..; pwd)" > ../hooks/$hook
    chmod +x ../hooks/$hook; cp ../hooks/$hook .git/hooks/
done
printf '[filter "included"]\n\tclean = %s included\n[core]\n\tfsmonitor = %s included\n' "$evil" "$evil" > ../included
printf '* filter=evil diff=evil\n*.txt filter=included\nnew.txt filter=long\n' > .gitattributes
cp .gitattributes sub/
rm -f .git/objects/$(git -c core.fsmonitor=false rev-parse HEAD:gone.txt | sed 's|..|&/|') 
git -c core.fsmonitor=false config core.worktree "$(cd ../outside; pwd)"
rm -f ../ran
"#;

impl World {
    fn ran(&self) -> String {
        fs::read_to_string(self.path("../ran")).unwrap_or_default()
    }

    async fn patch(&self, name: &str) -> String {
        let call = FileCall::Archive {
            ticket: types::EventId::random().to_string(),
            scope: Scope::default(),
            path: self.text(name),
            format: "git-delta".into(),
            base_ref: None,
            exclude: Vec::new(),
            use_default_excludes: true,
        };
        let (made, _) = self.file::<Archive>(call, Bytes::new()).await.unwrap();
        fs::read_to_string(made.path).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_repository_names_is_run_when_it_is_read() {
    let world = World::start().await;
    fs::create_dir(world.path("repo")).unwrap();
    world.sh(&format!("cd repo\n{HOSTILE}"));
    let repo = world.text("repo");

    let changes = world.changes(&repo, None).await;
    assert!(changes.contains(&"U tracked.txt".to_owned()), "{changes:?}");
    assert!(changes.contains(&"A new.txt".to_owned()) && changes.contains(&"D gone.txt".to_owned()));
    assert!(changes.contains(&"U sub/s.txt".to_owned()), "a repository in it is read alike: {changes:?}");
    assert!(!changes.iter().any(|change| change.contains("private")), "{changes:?}");
    assert_eq!(world.ran(), "", "changes");

    let diff = world.diff(&world.text("repo/tracked.txt"), None).await.unwrap();
    assert_eq!((diff.original.as_deref(), diff.modified.as_deref()), (Some("one\n"), Some("two\n")));
    assert_eq!(world.ran(), "", "diff");

    let missing = world.diff(&world.text("repo/gone.txt"), Some("HEAD")).await;
    assert_eq!(world.ran(), "", "an object that is missing is not fetched: {missing:?}");

    let limit = 10;
    world.git(GitCall::Commits { scope: Scope::default(), path: repo.clone(), limit }).await.unwrap();
    world
        .git(GitCall::CommitChanges { scope: Scope::default(), path: repo.clone(), sha: "HEAD".into() })
        .await
        .unwrap();
    assert_eq!(world.ran(), "", "commits");

    world.sh("cd repo/sub; git -c core.fsmonitor=false config --unset core.worktree || true");
    let patch = world.patch("repo/sub").await;
    assert!(patch.contains("+dirty"), "{patch}");
    assert_eq!(world.ran(), "", "archives");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_another_user_is_read() {
    let world = World::start().await;
    world.sh("git init -q .; echo one > a; git add .; git commit -qm first; echo two > a");
    if std::os::unix::fs::chown(world.path(".git"), Some(4321), Some(4321)).is_err() {
        return testing::may_skip("a_repository_of_another_user_is_read", "only root may give files away");
    }
    world.sh("chown -R 4321 .");
    assert_eq!(world.changes(&world.text(""), None).await, ["U a"]);
    assert_eq!(world.diff(&world.text("a"), None).await.unwrap().original.as_deref(), Some("one\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_read_is_refused_with_the_reason() {
    let breakages = [
        ("gitfile", "rm -rf .git; echo 'gitdir: /nowhere' > .git", "invalid gitfile"),
        ("config", "echo '[broken' > .git/config", "config"),
        ("version", "git config core.repositoryformatversion 99", "version"),
        ("fifo", "rm .git/config; mkfifo .git/config", "cannot be read"),
        ("head", "echo junk > .git/HEAD", "HEAD"),
    ];
    for (name, breakage, reason) in breakages {
        let world = World::start().await;
        world.sh(&format!("git init -q .; echo one > a; git add .; git commit -qm first; {breakage}"));
        let call = GitCall::Changes { scope: Scope::default(), path: world.text(""), reference: None };
        let refused = world.git(call).await.unwrap_err();
        assert_eq!(refused.code, Code::BadRequest, "{name}: {}", refused.public);
        assert!(refused.public.contains(reason), "{name}: {}", refused.public);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_formats_and_further_working_trees_are_read() {
    for format in ["--object-format=sha256", "--ref-format=reftable", "--object-format=sha1"] {
        let world = World::start().await;
        world.sh(&format!(
            "git init -q -b main {format} one; cd one; echo 1 > a; git add .; git commit -qm first; \
             git worktree add -q ../two -b other; git sparse-checkout set --no-cone '/*'; \
             git pack-refs --all 2>/dev/null || true; cd ../two; echo 2 > a; echo 3 > b"
        ));
        assert_eq!(world.changes(&world.text("two"), Some("HEAD")).await, ["U a", "A b"], "{format}");
        assert_eq!(world.changes(&world.text("one"), None).await, [] as [&str; 0], "{format}");
    }
}
