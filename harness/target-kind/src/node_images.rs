//! Our images, out of the program that runs, and how they come to the nodes.

use wi_images::archive::{self, Image, Layer};
use wi_images::proxy;
use wi_model::secret::sha256_hex;

use super::node_network::Place;
use super::{Builder, Found, Held, REPOSITORY, kind, node};

/// The images of the proxy and of its init container, as a webhook names them.
pub(super) struct ProxyImages {
    pub(super) proxy: String,
    pub(super) init: String,
}

/// The image of our own webhook.
pub(super) fn webhook_image(tag: &str) -> String {
    format!("{REPOSITORY}/webhook:{tag}")
}

impl Builder<'_> {
    /// What tells our images from another run's: a cluster that stays has those of `up`, any other those of this run.
    pub(super) fn tag(&self, layer: &Layer, found: &Found) -> String {
        match &found.standing {
            Some(standing) if standing.tag == layer.tag() => standing.tag.clone(),
            _ if self.stands() => layer.tag().to_owned(),
            _ => format!("{}{}", layer.tag(), self.suffix()),
        }
    }

    /// Brings the images that scenarios use to the nodes, and says which image name each stands for.
    pub(super) async fn images(
        &self,
        layer: &Layer,
        tag: &str,
        found: &Found,
    ) -> Result<Vec<(String, String)>, String> {
        let (mut images, mut names) = (Vec::new(), Vec::new());
        for (name, program) in wi_images::named() {
            let args = vec!["fixture".to_owned(), program.program.clone()];
            let known = images.iter().find(|image: &&Image| image.args == args && image.env == program.env);
            let image = match known {
                Some(image) => image.clone(),
                None => {
                    let short = name.rsplit('/').next().unwrap_or(name);
                    let name = format!("{REPOSITORY}/{short}:{tag}");
                    let image = Image { name, args, env: program.env.clone(), file: None, run: None };
                    images.push(image.clone());
                    image
                }
            };
            names.push((name.to_owned(), image.name));
        }
        for (name, stands_for) in &self.options.stand_ins {
            let ours = names.iter().find(|(ours, _)| ours == stands_for).map(|(_, image)| image.clone());
            names.push((name.clone(), ours.unwrap_or_else(|| stands_for.clone())));
        }
        let args = vec!["fixture".to_owned(), "webhook".to_owned()];
        images.push(Image { name: webhook_image(tag), args, env: [].into(), file: None, run: None });
        self.bring(layer, &images, found).await?;
        for archive in &self.options.archives {
            kind::load(kind_of(&found.name, &found.place)?, archive)
                .await
                .map_err(|why| format!("--load {}: {why}", archive.display()))?;
        }
        Ok(names)
    }

    /// Brings what our webhook injects to the nodes. The certificates of the Azure beside them are in the image of the proxy,
    /// so it is one of its own for each of these.
    pub(super) async fn proxy(
        &self,
        layer: &Layer,
        tag: &str,
        found: &Found,
        trust: &str,
    ) -> Result<ProxyImages, String> {
        let env = proxy::env(&self.options.mutants.proxy);
        let kind = sha256_hex(format!("{trust}{env:?}").as_bytes());
        let image = |program: &str| Image {
            name: format!("{REPOSITORY}/{program}:{tag}-{}", &kind[..8]),
            args: vec!["fixture".to_owned(), program.to_owned()],
            env: [].into(),
            file: None,
            run: None,
        };
        let file = Some((proxy::TRUST.to_owned(), trust.as_bytes().to_vec()));
        let images = [Image { env, file, ..image("proxy") }, image("proxy-init")];
        self.bring(layer, &images, found).await?;
        let [proxy, init] = images.map(|image| image.name);
        Ok(ProxyImages { proxy, init })
    }

    /// Brings images to the nodes, unless all are there.
    async fn bring(&self, layer: &Layer, images: &[Image], found: &Found) -> Result<(), String> {
        let cluster = kind_of(&found.name, &found.place)?;
        let wanted: Vec<String> = images.iter().map(|image| image.name.clone()).collect();
        let mut there = true;
        for node in &found.place.nodes {
            there = there && node::has_images(node, &wanted).await?;
        }
        if there {
            return Ok(());
        }
        (self.tell)("loading images into the nodes");
        let archive = layer.archive(images).map_err(|error| wi_engine::sentence(&error))?;
        let digests = archive::digests(&archive);
        let path = self.folder.join("images.tar");
        tokio::fs::write(&path, archive).await.map_err(|error| format!("{}: {error}", path.display()))?;
        let held = Held::NodeImages { nodes: found.place.nodes.clone(), names: wanted, digests };
        self.holdings.lock().await.take(held)?;
        kind::load(cluster, &path).await?;
        let _ = tokio::fs::remove_file(&path).await;
        Ok(())
    }
}

/// The kind cluster to whose nodes our images are brought.
pub(super) fn kind_of<'a>(name: &str, place: &'a Place) -> Result<&'a str, String> {
    place
        .kind
        .as_deref()
        .ok_or_else(|| format!("cluster {name} was not created by kind, so images cannot be loaded into its nodes"))
}
