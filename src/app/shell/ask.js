// Runs before anything is drawn. Takes the session over from another tab of this browser, if one has it, and hides what is meant
// for strangers. `asked` settles once that is known; where nobody answers in time, this is a stranger.
var asked = new Promise((done) => {
  const veil = () => (document.documentElement.dataset.session = "stored");
  try {
    if (sessionStorage.getItem(key)) return done(veil());
    const channel = new BroadcastChannel(key);
    const end = () => done(channel.close());
    channel.onmessage = ({ data }) => {
      if (data[0] !== "have") return;
      sessionStorage.setItem(key, JSON.stringify(data[1]));
      end(veil());
    };
    channel.postMessage(["ask"]);
    setTimeout(end, 100);
  } catch {
    done();
  }
});
